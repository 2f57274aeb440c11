"""Exports: what was asked for, and which rows they show."""

from infrastructure.migrations.statements import run_files

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    run_files("0008_exports.sql")
