"""What people were told last of the relay."""

from infrastructure.migrations.statements import run_files

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    run_files("0019_relay_notified.sql")
