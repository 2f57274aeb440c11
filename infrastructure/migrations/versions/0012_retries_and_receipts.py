"""The automatic retry of parked streams, and receipts with the time of the database's clock."""

from infrastructure.migrations.statements import run_files

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    run_files("0012_automatic_retry.sql", "0012_receipts.sql", "append_v2.sql")
