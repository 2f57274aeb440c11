"""Notifications for people who watch the live stream."""

from infrastructure.migrations.statements import run_files

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run_files("0007_notifications.sql")
