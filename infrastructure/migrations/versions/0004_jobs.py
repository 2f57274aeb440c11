"""Jobs, and procrastinate's queue that workers take them from."""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    connection = op.get_bind()
    for name in ("0004_procrastinate.sql", "0004_jobs.sql"):
        connection.exec_driver_sql((_SQL / name).read_text().replace("%", "%%"))


def downgrade() -> None:
    raise NotImplementedError("migrations go forward only")
