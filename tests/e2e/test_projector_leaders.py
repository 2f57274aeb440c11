"""Two Rollbooks on one database: when the leader freezes or dies, the view never goes back."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from time import monotonic
from typing import Any, Final, LiteralString

import psycopg
import pytest
from httpx2 import AsyncClient
from msgspec import Struct

from infrastructure.views.sql.slot_lock import lock_of
from projections.users import USERS
from tests.support.http.agreement import assert_agreement, assert_views_are_a_fresh_fold, head
from tests.support.http.load import Load, client_of
from tests.support.run.background import in_background
from tests.support.servers.postgres import database, scaled
from tests.support.servers.rollbook import RunningRollbook

TOKEN: Final = "a-token-of-thirty-two-characters"
TAKEOVER_SECONDS: Final = 3.0
_POLL_SECONDS: Final = 0.03

_LEADER: Final = """
SELECT activity.application_name
FROM pg_locks AS held JOIN pg_stat_activity AS activity USING (pid)
WHERE held.locktype = 'advisory' AND held.granted AND held.objsubid = 1
  AND activity.datname = current_database()
  AND (held.classid::bigint << 32 | held.objid::bigint) = %s"""
_POSITION: Final = "SELECT position FROM checkpoints WHERE projection = 'users'"
_VERSIONS: Final = "SELECT id, version FROM users_g1"


class Pair(Struct):
    """Two whole Rollbooks; each name is the `application_name` of its database sessions."""

    database_url: str
    master_keys: str
    members: dict[str, RunningRollbook]

    def other_than(self, name: str) -> str:
        (other,) = self.members.keys() - {name}
        return other


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, postgres_url: str, master_keys: str
) -> Iterator[Pair]:
    directory = tmp_path_factory.mktemp("pair")
    with database(postgres_url) as url:

        def member(name: str) -> RunningRollbook:
            named = f"{url}{'&' if '?' in url else '?'}application_name={name}"
            return RunningRollbook(
                directory / name,
                ROLLBOOK_DATABASE_URL=named,
                ROLLBOOK_MASTER_KEY=master_keys,
                ROLLBOOK_ADMIN_TOKEN=TOKEN,
            )

        with member("one") as one, member("two") as two:
            yield Pair(url, master_keys, {"one": one, "two": two})


class Watch:
    """Polls the users view; its position and its versions must never decrease."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection
        self._versions: dict[Any, int] = {}
        self.position = 0
        self.leader: str | None = None
        self.went_back: list[str] = []

    @classmethod
    @asynccontextmanager
    async def over(cls, database_url: str) -> AsyncGenerator["Watch"]:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as session:
            watch = cls(session)
            await watch._poll()
            async with in_background(watch._poll_forever()):
                yield watch

    async def taken_over(self, by: str) -> float:
        """Seconds until `by` leads and has advanced the checkpoint."""
        began = monotonic()
        async with asyncio.timeout(10):
            while self.leader != by:
                await asyncio.sleep(_POLL_SECONDS)
            position = self.position
            while self.position == position:
                await asyncio.sleep(_POLL_SECONDS)
        return monotonic() - began

    async def _poll_forever(self) -> None:
        while True:
            await asyncio.sleep(_POLL_SECONDS)
            await self._poll()

    async def _poll(self) -> None:
        rows = await self._rows(_LEADER, lock_of(USERS.name, 1))
        self.leader = rows[0][0] if rows else None
        ((position,),) = await self._rows(_POSITION)
        versions = dict(await self._rows(_VERSIONS))
        if position < self.position:
            self.went_back.append(f"the checkpoint from {self.position} to {position}")
        self.went_back += [
            f"{user} from {version} to {versions.get(user)}"
            for user, version in self._versions.items()
            if versions.get(user, 0) < version
        ]
        self.position, self._versions = position, versions

    async def _rows(self, query: LiteralString, *parameters: int) -> list[Any]:
        return list(await (await self._connection.execute(query, parameters)).fetchall())


@contextmanager
def frozen(process: int) -> Generator[None]:
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


@asynccontextmanager
async def under_load(pair: Pair, leader: str) -> AsyncGenerator[Watch]:
    """Puts load on the other member, watches the view, and checks log and views at the end."""
    other = pair.members[pair.other_than(leader)]
    async with Watch.over(pair.database_url) as watch, Load.on(other.url, TOKEN) as load:
        before = await head(load.client)
        await load.start(8)
        await asyncio.sleep(random.uniform(0.3, 0.6))
        yield watch
        await load.stop()
        for member in pair.members.values():
            async with client_of(member.url, TOKEN) as client:
                await until_ready(client)
                await assert_agreement(client, load.sent, after=before)
        assert watch.went_back == []
        await assert_views_are_a_fresh_fold(pair.database_url, pair.master_keys)


@pytest.mark.long
async def test_a_frozen_leader_is_replaced_and_resumes_without_harm(pair: Pair) -> None:
    for _ in range(scaled(1)):
        leader = await leader_of(pair)
        async with under_load(pair, leader) as watch:
            with frozen(pair.members[leader].children()["application"]):
                assert await watch.taken_over(by=pair.other_than(leader)) <= TAKEOVER_SECONDS
                await asyncio.sleep(0.3)
            await asyncio.sleep(0.7)


async def test_a_killed_leader_is_replaced(pair: Pair) -> None:
    for _ in range(scaled(1)):
        leader = await leader_of(pair)
        async with under_load(pair, leader) as watch:
            os.kill(pair.members[leader].children()["application"], signal.SIGKILL)
            assert await watch.taken_over(by=pair.other_than(leader)) <= TAKEOVER_SECONDS


async def leader_of(pair: Pair) -> str:
    """The name of the member that leads the users view."""
    async with Watch.over(pair.database_url) as watch, asyncio.timeout(10):
        while watch.leader is None:
            await asyncio.sleep(_POLL_SECONDS)
        return watch.leader


async def until_ready(client: AsyncClient) -> None:
    async with asyncio.timeout(20):
        while (await client.get("/health/ready")).status_code != 200:
            await asyncio.sleep(_POLL_SECONDS)
