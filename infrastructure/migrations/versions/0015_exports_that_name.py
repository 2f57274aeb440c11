"""Which requests of exports may name a person."""

from infrastructure.migrations.statements import run_files

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    run_files("0015_exports_that_name.sql")
