"""Tickets for the live stream, and what the relay had to set aside."""

from infrastructure.migrations.statements import run_files

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_files("0002_streams.sql")
