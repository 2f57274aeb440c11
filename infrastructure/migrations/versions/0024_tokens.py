"""The last uses of tokens, and an index of the claims of their secrets."""

from infrastructure.migrations.statements import run_files

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    run_files("0024_tokens.sql")
