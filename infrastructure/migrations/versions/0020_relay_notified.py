"""What people were told last of the relay."""

from infrastructure.migrations.statements import run_files

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    run_files("0020_relay_notified.sql")
