"""The current master key of the log, and the append function."""

from infrastructure.migrations.statements import run_files

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    run_files("0009_master_id.sql", "append_v2.sql")
