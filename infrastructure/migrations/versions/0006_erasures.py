"""Nothing of a person's key outlives the key."""

from infrastructure.migrations.statements import run_files

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run_files("0006_erasures.sql")
