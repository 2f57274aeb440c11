"""The callers that requested the tickets: a stream ends with the credential of its ticket."""

from infrastructure.migrations.statements import run_files

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    run_files("0022_tickets_of_callers.sql")
