"""The event store: log, keys, claims, receipts, and checkpoints."""

from infrastructure.migrations.statements import run_files

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_files("0001_tables.sql")
