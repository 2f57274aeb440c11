"""Jobs, and procrastinate's queue that workers take them from."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from alembic import op
from procrastinate.schema import SchemaManager

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_JOBS = Path(__file__).parent.parent / "sql" / "0004_jobs.sql"
# Of the schema in release 3.10. Another release's needs a migration after this one, with the
# library's own steps from here to there, and this one then has to take both.
_QUEUE_SHA256 = "c70ec4b400a60ad9592787653aae5ae77ae41bf801d56b5bd2712751a07f2009"


def upgrade() -> None:
    queue = SchemaManager.get_schema()
    if hashlib.sha256(queue.encode()).hexdigest() != _QUEUE_SHA256:
        raise RuntimeError("the installed procrastinate has another schema than release 3.10")
    connection = op.get_bind()
    for statements in (queue, _JOBS.read_text()):
        connection.exec_driver_sql(statements.replace("%", "%%"))


def downgrade() -> None:
    raise NotImplementedError("migrations go forward only")
