"""Whether any worker runs jobs, by the heartbeats that workers write."""

from typing import Final

from application.jobs.runs import Timing
from infrastructure.database import Database

_LIVES: Final = """
SELECT EXISTS (SELECT FROM procrastinate_workers
               WHERE last_heartbeat > now() - make_interval(secs => %s))"""


async def worker_lives(database: Database) -> bool:
    """Whether a worker wrote a heartbeat lately. Raises `Unavailable`."""
    rows = await database.rows(_LIVES, (Timing().stalled,))
    return rows[0][0]
