"""The event store: log, keys, claims, receipts, checkpoints and the append function."""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    connection = op.get_bind()
    for name in ("0001_tables.sql", "0001_append_v1.sql"):
        connection.exec_driver_sql((_SQL / name).read_text().replace("%", "%%"))


def downgrade() -> None:
    raise NotImplementedError("the log is never taken down by a migration")
