"""One row for each parked stream, and skips that can be taken back."""

from infrastructure.migrations.statements import run_files

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    run_files("0014_parked_streams.sql")
