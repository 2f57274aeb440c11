"""Jobs, and procrastinate's queue that workers take them from."""

from collections.abc import Sequence
from pathlib import Path

from alembic import op
from procrastinate.schema import SchemaManager

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_JOBS = Path(__file__).parent.parent / "sql" / "0004_jobs.sql"


def upgrade() -> None:
    connection = op.get_bind()
    for statements in (SchemaManager.get_schema(), _JOBS.read_text()):
        connection.exec_driver_sql(statements.replace("%", "%%"))


def downgrade() -> None:
    raise NotImplementedError("migrations go forward only")
