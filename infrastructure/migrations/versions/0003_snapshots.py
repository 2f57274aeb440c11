"""Sealed snapshots of long streams."""

from infrastructure.migrations.statements import run_files

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_files("0003_snapshots.sql")
