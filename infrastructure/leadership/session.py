"""The session that holds all advisory locks of this process; the server ends it if we freeze."""

import asyncio
import hashlib
import random
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import psycopg

from application.errors import Unavailable
from application.log.follower import NotLeading
from infrastructure.postgres import Connection, answered_within, connect, is_broken

FROZEN_MILLISECONDS: Final = 1500
_REPLY_SECONDS: Final = 5.0
# Between two rounds, with jitter, so that candidates do not try together. A round is also the
# heartbeat: it must come several times before the process counts as frozen.
_MIN_PAUSE_SECONDS: Final = 0.3
_MAX_PAUSE_SECONDS: Final = 0.5

_SETTINGS: Final = """
SELECT set_config('idle_session_timeout', %(frozen)s::text, false),
       set_config('idle_in_transaction_session_timeout', %(frozen)s::text, false)"""
_RELEASE: Final = "SELECT pg_advisory_unlock(key) FROM unnest(%s::bigint[]) AS key"
_TRY: Final = "SELECT pg_try_advisory_lock(key) FROM unnest(%s::bigint[]) AS key"
# Whether the session of a lead, in the server's view, still holds its lock: for a statement that must
# change nothing in a process that was frozen and does not know yet that another one leads.
IS_LED: Final = """
EXISTS (SELECT FROM pg_locks
        WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND pid = %(leader)s
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND (classid::bigint << 32 | objid::bigint) = %(lead)s)"""
_END_FROZEN_LEADERS: Final = Path(__file__).with_name("end_frozen_leaders.sql").read_bytes()


def lock_key(name: str) -> int:
    """The advisory lock of a name: 64 bits, so that no two names share one."""
    digest = hashlib.sha256(f"rollbook {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


class Lead:
    """The right to do what only one process may do, until its session is lost."""

    def __init__(self, connection: Connection, key: int) -> None:
        self._connection = connection
        self._key = key

    @property
    def fence(self) -> Mapping[str, int]:
        """The parameters of `IS_LED`."""
        return {"leader": self._connection.info.backend_pid, "lead": self._key}

    def check(self) -> None:
        """Raises `NotLeading` if the session is known to be lost, and its locks with it."""
        if is_broken(self._connection):
            raise NotLeading(NotLeading.__doc__)


class LeadingSession:
    """One connection, open while something is led or waited for."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._wanted: dict[int, asyncio.Future[Lead]] = {}
        self._released: list[int] = []
        # A lock may be taken twice in one session, so each name has one user at a time here.
        self._turns: dict[str, asyncio.Lock] = {}
        self._uses = 0
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def lead(self, name: str) -> AsyncGenerator[Lead]:
        """Waits until no other process leads under this name, then leads. Raises `Unavailable`."""
        key = lock_key(name)
        async with self._turns.setdefault(name, asyncio.Lock()):
            self._uses += 1
            try:
                yield await self._acquired(key)
            finally:
                self._released.append(key)
                self._uses -= 1
                self._news.set()
                if not self._uses and self._task is not None:
                    await asyncio.wait([self._task])

    async def _acquired(self, key: int) -> Lead:
        wanted = self._wanted[key] = asyncio.get_running_loop().create_future()
        if self._task is None or self._task.done():
            self._released.clear()
            self._task = asyncio.create_task(self._run(), name="leading-session")
        self._news.set()
        try:
            return await wanted
        finally:
            self._wanted.pop(key, None)

    async def _run(self) -> None:
        failure: Exception = Unavailable()
        try:
            connection = await connect(self._database_url, "rollbook leader")
            try:
                async with answered_within(_REPLY_SECONDS, connection):
                    await connection.execute(_SETTINGS, {"frozen": FROZEN_MILLISECONDS})
                while self._uses:
                    self._news.clear()
                    async with answered_within(_REPLY_SECONDS, connection):
                        await self._round(connection)
                    pause = random.uniform(_MIN_PAUSE_SECONDS, _MAX_PAUSE_SECONDS)  # noqa: S311
                    with suppress(TimeoutError):
                        async with asyncio.timeout(pause):
                            await self._news.wait()
            finally:
                await connection.close()
        except (psycopg.Error, OSError) as error:
            failure.__cause__ = error
        except Exception as error:
            failure = error
        finally:
            for wanted in self._wanted.values():
                if not wanted.done():
                    wanted.set_exception(failure)

    async def _round(self, connection: Connection) -> None:
        """Release what is no longer led, and try for what is wanted: together the heartbeat."""
        if self._released:
            released, self._released = self._released, []
            await connection.execute(_RELEASE, (released,))
        wanted = {key: each for key, each in self._wanted.items() if not each.done()}
        keys = list(wanted)
        rows = await (await connection.execute(_TRY, (keys,))).fetchall()
        for key, (acquired,) in zip(keys, rows, strict=True):
            if not acquired:
                continue
            if wanted[key].done():
                # Its caller was cancelled meanwhile.
                self._released.append(key)
            else:
                wanted[key].set_result(Lead(connection, key))
        await self._end_frozen(connection, [key for key in keys if not wanted[key].done()])

    async def _end_frozen(self, connection: Connection, keys: Sequence[int]) -> None:
        if keys:
            parameters = {"keys": list(keys), "frozen": FROZEN_MILLISECONDS}
            await connection.execute(_END_FROZEN_LEADERS, parameters)
