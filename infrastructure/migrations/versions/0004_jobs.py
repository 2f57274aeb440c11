"""Jobs, and procrastinate's queue that workers take them from."""

from procrastinate.schema import SchemaManager

from infrastructure.migrations.statements import run, run_files

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    run(SchemaManager.get_schema())
    run_files("0004_jobs.sql")
