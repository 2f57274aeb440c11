"""One queue for each class of jobs, and an index of finished jobs."""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    op.get_bind().exec_driver_sql((_SQL / "0011_job_queues.sql").read_text().replace("%", "%%"))


def downgrade() -> None:
    raise NotImplementedError("migrations go forward only")
