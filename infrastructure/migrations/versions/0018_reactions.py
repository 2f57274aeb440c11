"""The reactions and their runs."""

from infrastructure.migrations.statements import run_files

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    run_files("0018_reactions.sql")
