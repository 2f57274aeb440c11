"""Notifications for people who watch the live stream."""

from collections.abc import Sequence
from pathlib import Path

from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    op.get_bind().exec_driver_sql((_SQL / "0007_notifications.sql").read_text().replace("%", "%%"))


def downgrade() -> None:
    raise NotImplementedError("migrations go forward only")
