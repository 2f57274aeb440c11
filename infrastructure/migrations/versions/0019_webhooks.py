"""The progress of webhook deliveries, the parked users and the last attempts."""

from infrastructure.migrations.statements import run_files

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    run_files("0019_webhooks.sql")
