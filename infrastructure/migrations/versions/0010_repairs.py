"""The number of repairs of each slot, for the cache."""

from infrastructure.migrations.statements import run_files

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    run_files("0010_repairs.sql")
