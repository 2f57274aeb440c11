"""The event store: log, keys, claims, receipts, and checkpoints."""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    op.get_bind().exec_driver_sql((_SQL / "0001_tables.sql").read_text().replace("%", "%%"))


def downgrade() -> None:
    raise NotImplementedError("the log is never taken down by a migration")
