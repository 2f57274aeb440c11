"""Generations of views beside each other, skipped events, and projections that stand still."""

from infrastructure.migrations.statements import run_files

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    run_files("0005_generations.sql")
