"""Runs the statements of a migration; migrations go forward only."""

from pathlib import Path

from alembic import op

_FILES = Path(__file__).with_name("sql")


def run(statements: str) -> None:
    """Run several statements on the connection of the migration."""
    op.get_bind().exec_driver_sql(statements.replace("%", "%%"))


def run_files(*names: str) -> None:
    """Run files of the folder `sql`."""
    for name in names:
        run((_FILES / name).read_text())
