"""The contract of every notification store, and what a listener of the board receives."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime

import psycopg
import pytest
from uuid_utils.compat import uuid7

from application.doorbell import Doorbell
from application.live.notifications import NoticeBoard
from infrastructure.database import Database
from infrastructure.doorbell.memory import MemoryDoorbell
from infrastructure.doorbell.postgres import PostgresDoorbell
from infrastructure.notifications.postgres import PostgresNotifications
from tests.support.doubles.notifications import InMemoryNotifications

Notifications = InMemoryNotifications | PostgresNotifications
Store = tuple[Notifications, Doorbell]


@asynccontextmanager
async def in_memory() -> AsyncGenerator[Store]:
    doorbell = MemoryDoorbell()
    yield InMemoryNotifications(doorbell, uuid7, lambda: datetime.now(UTC)), doorbell


@asynccontextmanager
async def in_postgres(url: str) -> AsyncGenerator[Store]:
    async with (
        PostgresDoorbell.open(url) as doorbell,
        Database.open(url) as database,
    ):
        yield PostgresNotifications(database, uuid7), doorbell


@pytest.fixture(params=["memory", "postgres"])
def opened(request: pytest.FixtureRequest) -> AbstractAsyncContextManager[Store]:
    if request.param == "memory":
        return in_memory()
    return in_postgres(request.getfixturevalue("database_url"))


@pytest.fixture
async def store(opened: AbstractAsyncContextManager[Store]) -> AsyncGenerator[Store]:
    async with opened as store:
        yield store


async def test_notifications_are_read_in_order_after_a_number(store: Store) -> None:
    notifications, _ = store
    assert await notifications.newest() == 0
    await notifications.notify("info", "one", "/v1/jobs/1")
    await notifications.notify("warning", "two", "/v1/jobs/1")
    first, second = await notifications.after(0, 10)
    assert [(n.severity, n.message) for _, n in (first, second)] == [
        ("info", "one"),
        ("warning", "two"),
    ]
    assert await notifications.newest() == second[0]
    assert await notifications.after(first[0], 10) == [second]
    assert [number for number, _ in await notifications.after(0, 1)] == [first[0]]


async def test_a_reader_of_a_number_has_seen_all_numbers_before_it(store: Store) -> None:
    notifications, _ = store
    seen: list[str] = []

    async def read() -> None:
        last = 0
        while len(seen) < 20:
            for number, notification in await notifications.after(last, 5):
                last = number
                seen.append(notification.message)
            await asyncio.sleep(0.001)

    async def send(n: int) -> None:
        await notifications.notify("info", str(n), "x")

    async with asyncio.timeout(20):
        await asyncio.gather(read(), *(send(n) for n in range(20)))
    assert sorted(seen, key=int) == [str(n) for n in range(20)]


async def test_a_listener_receives_new_notifications_soon(store: Store) -> None:
    notifications, doorbell = store
    board = NoticeBoard(notifications, doorbell)
    await notifications.notify("info", "before", "x")
    async with board.listen() as one, board.listen() as other:
        await asyncio.sleep(0.3)
        await notifications.notify("success", "now", "x")
        async with asyncio.timeout(1.5):
            assert [(await inbox.next()).message for inbox in (one, other)] == ["now", "now"]


async def test_a_slow_listener_loses_the_oldest_notifications() -> None:
    doorbell = MemoryDoorbell()
    notifications = InMemoryNotifications(doorbell, uuid7, lambda: datetime.now(UTC))
    async with NoticeBoard(notifications, doorbell).listen() as inbox:
        await asyncio.sleep(0)
        for n in range(150):
            await notifications.notify("info", str(n), "x")
        await asyncio.sleep(0.05)
        assert (await inbox.next()).message == "50"


async def test_one_notification_is_sent_for_parked_streams(database_url: str) -> None:
    async with (
        Database.open(database_url) as database,
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection,
    ):
        one, other = (PostgresNotifications(database, uuid7) for _ in range(2))
        await connection.execute("INSERT INTO projections VALUES ('main', 'users', 1)")
        await asyncio.gather(one.notify_parked(), other.notify_parked())
        assert await one.newest() == 0
        for stream in (1, 2):
            await connection.execute(
                """INSERT INTO parked VALUES ('main', 'users', 1, %s::text::uuid, 1, 1,
                gen_random_uuid(), 'KeyError')""",
                (f"018f0000-0000-7000-8000-00000000000{stream}",),
            )
        await asyncio.gather(*(each.notify_parked() for each in (one, other) * 3))
        await connection.execute("DELETE FROM parked")
        await asyncio.gather(*(each.notify_parked() for each in (one, other) * 3))
        sent = [(n.severity, n.message, n.about) for _, n in await one.after(0, 10)]
    assert sent == [
        ("warning", "users: 2 parked streams", "/v1/projections/users/parked"),
        ("success", "users: nothing is parked any more", "/v1/projections/users/parked"),
    ]
