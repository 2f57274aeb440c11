"""The receipts of administrative commands."""

from infrastructure.migrations.statements import run_files

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    run_files("0017_answers.sql")
