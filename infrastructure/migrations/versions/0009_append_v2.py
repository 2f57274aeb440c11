"""The current master key of the log, and the append function."""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    connection = op.get_bind()
    for name in ("0009_master_id.sql", "0009_append_v2.sql"):
        connection.exec_driver_sql((_SQL / name).read_text().replace("%", "%%"))


def downgrade() -> None:
    raise NotImplementedError("migrations go forward only")
