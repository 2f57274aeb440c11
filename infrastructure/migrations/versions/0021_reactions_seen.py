"""The workers that have a reaction."""

from infrastructure.migrations.statements import run_files

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    run_files("0021_reactions_seen.sql")
