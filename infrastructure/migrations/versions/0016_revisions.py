"""The revision of each generation; rows are checked by the projector instead of a constraint."""

from infrastructure.migrations.statements import run_files

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    run_files("0016_revisions.sql")
