"""Which requests of exports may name a person."""

from infrastructure.migrations.statements import run_files

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    run_files("0014_exports_that_name.sql")
