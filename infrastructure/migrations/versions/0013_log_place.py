"""The database and the table that hold the log."""

from infrastructure.migrations.statements import run_files

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    run_files("0013_log_place.sql")
