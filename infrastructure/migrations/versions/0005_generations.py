"""Generations of views beside each other, skipped events, and projections that stand still."""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    op.get_bind().exec_driver_sql((_SQL / "0005_generations.sql").read_text().replace("%", "%%"))


def downgrade() -> None:
    raise NotImplementedError("migrations go forward only")
