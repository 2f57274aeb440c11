"""Sessions of the console, and one-use sign-in links."""

from infrastructure.migrations.statements import run_files

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    run_files("0023_sessions.sql")
