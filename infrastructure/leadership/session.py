"""A session that holds a follower's lock; the server ends it if this process freezes."""

import asyncio
import hashlib
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, Self

import psycopg

from application.errors import Unavailable
from application.log.follower import NotLeading
from infrastructure.postgres import Connection, answered_within, connect, is_broken, is_outage

_FROZEN_MILLISECONDS: Final = 1500
_HEARTBEAT_SECONDS: Final = 0.4
_REPLY_SECONDS: Final = 5.0
# Time between two tries for the lock, with jitter, so that candidates do not try together.
_MIN_RETRY_SECONDS: Final = 0.3
_MAX_RETRY_SECONDS: Final = 0.6

# A crash loses a follower's last pages together with their checkpoint, so they are done again.
# Rows are found by key: a plan made for a small table must not scan the table when it is large.
_SETTINGS: Final = """
SELECT set_config('idle_session_timeout', %(frozen)s::text, false),
       set_config('idle_in_transaction_session_timeout', %(frozen)s::text, false),
       set_config('synchronous_commit', 'off', false),
       set_config('default_transaction_isolation', 'read committed', false),
       set_config('enable_seqscan', 'off', false)"""
_TRY_LOCK: Final = "SELECT pg_try_advisory_lock(%s)"
_END_FROZEN_LEADER: Final = Path(__file__).with_name("end_frozen_leader.sql").read_bytes()


def lock_key(name: str) -> int:
    """The advisory lock of a follower: 64 bits, so that no two names share one."""
    digest = hashlib.sha256(f"rollbook {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


class LeadingSession:
    """A connection that holds a follower's advisory lock; hold `turn` while you use it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.turn = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(cls, database_url: str, name: str, application: str) -> AsyncGenerator[Self]:
        """Waits for the lock of that name, then holds it. Raises `Unavailable`.

        `application` is the session's `application_name` in `pg_stat_activity`.
        """
        async with _connection(database_url, application) as connection:
            await _acquire(connection, lock_key(name))
            session = cls(connection)
            heartbeat = asyncio.create_task(session._send_heartbeats())
            try:
                yield session
            finally:
                heartbeat.cancel()
                await asyncio.gather(heartbeat, return_exceptions=True)

    def check(self) -> None:
        """Raises `NotLeading` if the session is known to be lost, and its lock with it."""
        if is_broken(self.connection):
            raise NotLeading(NotLeading.__doc__)

    async def _send_heartbeats(self) -> None:
        """Keeps the session alive while there is nothing to write."""
        while not is_broken(self.connection):
            await asyncio.sleep(_HEARTBEAT_SECONDS)
            if self.turn.locked():
                continue
            async with self.turn:
                with suppress(psycopg.Error, OSError):
                    async with answered_within(_REPLY_SECONDS, self.connection):
                        await self.connection.execute("SELECT 1")


@asynccontextmanager
async def _connection(database_url: str, application: str) -> AsyncGenerator[Connection]:
    try:
        connection = await connect(database_url, application)
    except (psycopg.Error, OSError) as error:
        raise Unavailable from error
    try:
        yield connection
    finally:
        await connection.close()


async def _acquire(connection: Connection, key: int) -> None:
    try:
        async with answered_within(_REPLY_SECONDS, connection):
            await connection.execute(_SETTINGS, {"frozen": _FROZEN_MILLISECONDS})
        while True:
            async with answered_within(_REPLY_SECONDS, connection):
                row = await (await connection.execute(_TRY_LOCK, (key,))).fetchone()
                if row is not None and row[0]:
                    return
                parameters = {"key": key, "frozen": _FROZEN_MILLISECONDS}
                await connection.execute(_END_FROZEN_LEADER, parameters)
            pause = random.uniform(_MIN_RETRY_SECONDS, _MAX_RETRY_SECONDS)  # noqa: S311
            await asyncio.sleep(pause)
    except (psycopg.Error, OSError) as error:
        if is_outage(error, connection):
            raise Unavailable from error
        raise
