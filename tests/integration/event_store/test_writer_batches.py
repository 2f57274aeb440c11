"""Commands that share a batch, a queue or an outage do not affect each other."""

import asyncio
import base64
import os
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from eventsourcing.persistence import StoredEvent
from msgspec.structs import replace
from psycopg import sql
from psycopg.conninfo import make_conninfo
from uuid_utils.compat import uuid7

from application.errors import (
    ClaimTaken,
    KeySeen,
    OutcomeUnknown,
    Overloaded,
    Unavailable,
    VersionConflict,
)
from infrastructure.event_store.append_requests import (
    AppendRequest,
    AppendResult,
    append_request,
    batch_payload,
)
from infrastructure.event_store.writer import (
    BATCH_BYTES,
    BATCH_ITEMS,
    QUEUE_ITEMS,
    GroupCommitWriter,
    Refused,
)
from infrastructure.event_store.writer_session import WriterSession
from tests.support.servers.postgres import execute, name_of
from tests.support.servers.postgres_proxy import PostgresProxy

Outcomes = Sequence[AppendResult | BaseException]


def item(**given: Any) -> AppendRequest:
    """An item of events (id, topic, state); by default one that begins a new stream."""
    fields: dict[str, Any] = {
        "kind": "user",
        "stream": uuid7(),
        "first": 1,
        "events": [(uuid7(), "test.happened", b"{}")],
        "actor": "token:test",
        "correlation_id": "test",
    }
    fields |= given
    fields["events"] = [
        (event_id, StoredEvent(fields["stream"], version, topic, state))
        for version, (event_id, topic, state) in enumerate(fields["events"], fields["first"])
    ]
    return append_request(**fields)


@asynccontextmanager
async def writing(
    url: str, items: Sequence[AppendRequest], **settings: Any
) -> AsyncGenerator[Outcomes]:
    """The outcomes of items that are all queued before the writer starts; it closes with the block."""
    writer = GroupCommitWriter(WriterSession(url), **settings)
    appends = [asyncio.create_task(writer.append(one)) for one in items]
    await asyncio.sleep(0)
    assert writer.waiting == len(items)
    writer.start()
    try:
        yield await asyncio.gather(*appends, return_exceptions=True)
    finally:
        await writer.close()


async def written(url: str, items: Sequence[AppendRequest]) -> Outcomes:
    async with writing(url, items) as outcomes:
        return outcomes


async def ask(url: str, query: str) -> Any:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        row = await (await connection.execute(query.encode())).fetchone()
    return row and row[0]


async def events(url: str) -> int:
    return await ask(url, "SELECT count(*) FROM stored_events")


async def transactions(url: str) -> int:
    return await ask(url, "SELECT count(DISTINCT xmin::text) FROM stored_events")


def kinds(outcomes: Outcomes) -> list[type]:
    return [type(outcome) for outcome in outcomes]


async def test_queued_items_are_recorded_in_one_transaction_and_in_order(database_url: str) -> None:
    outcomes = await written(database_url, [item() for _ in range(BATCH_ITEMS)])
    assert [o.position for o in outcomes if isinstance(o, AppendResult)] == [
        *range(1, BATCH_ITEMS + 1)
    ]
    assert await transactions(database_url) == 1


@pytest.mark.parametrize(
    "poison",
    [
        item(correlation_id="\x00"),
        # Too long for an index entry, and random, so that compression does not help.
        item(actor=base64.b64encode(os.urandom(9000)).decode()),
        replace(item(), payload=b"{"),
        replace(item(), payload=b'"\xff"'),
        replace(item(), payload=b'{"stream": "nobody"}'),
        item(stream=uuid7(), events=[(uuid7(), "a", b""), (uuid7(), "b", b"")], kind="\x00"),
    ],
    ids=["nul", "oversized for its index", "not json", "not utf-8", "not an item", "two events"],
)
async def test_one_item_that_the_server_refuses_fails_alone(
    database_url: str, poison: AppendRequest
) -> None:
    items = [item() for _ in range(200)]
    items[77] = poison
    outcomes = await written(database_url, items)
    assert kinds(outcomes) == [Refused if one is poison else AppendResult for one in items]
    assert await events(database_url) == 199


async def test_conflicting_items_are_checked_one_after_another(database_url: str) -> None:
    stream, holder = uuid7(), uuid7()
    address = [("email", b"address")]
    receipt = ("key", b"request", 200)
    expected = [
        (item(stream=stream), AppendResult),
        (item(stream=stream, first=2), AppendResult),
        (item(stream=stream, first=2), VersionConflict),
        (item(take=address, stream=holder), AppendResult),
        (item(take=address), ClaimTaken),
        (item(receipt=receipt), AppendResult),
        (item(receipt=receipt), KeySeen),
        (item(receipt=receipt, actor="token:other"), AppendResult),
        (item(stream=holder, first=2, release=address), AppendResult),
        (item(take=address), AppendResult),
        (item(take=[("external_id", b"address")]), AppendResult),
    ]
    outcomes = await written(database_url, [one for one, _ in expected])
    assert kinds(outcomes) == [kind for _, kind in expected]


async def test_a_command_may_take_a_claim_that_was_just_released(database_url: str) -> None:
    one, two = uuid7(), uuid7()
    a, b, c = (("email", value) for value in (b"a", b"b", b"c"))
    outcomes = await written(
        database_url,
        [
            item(stream=one, take=[a]),
            item(stream=two, take=[b]),
            item(stream=one, first=2, release=[a], take=[c]),
            item(stream=two, first=2, release=[b], take=[a]),
            item(stream=one, first=3, take=[c]),
        ],
    )
    assert kinds(outcomes) == [AppendResult] * 5
    held = await ask(
        database_url, "SELECT array_agg(convert_from(value, 'UTF8') ORDER BY value) FROM claims"
    )
    assert held == ["a", "c"]


async def test_a_full_queue_accepts_no_more_and_drops_nothing(database_url: str) -> None:
    writer = GroupCommitWriter(WriterSession(database_url), timeout_seconds=30)
    accepted = [asyncio.create_task(writer.append(item())) for _ in range(QUEUE_ITEMS)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await writer.append(item())
    writer.start()
    assert kinds(await asyncio.gather(*accepted)) == [AppendResult] * QUEUE_ITEMS
    await writer.append(item())
    await writer.close()
    assert await events(database_url) == QUEUE_ITEMS + 1


async def test_closing_writes_the_queued_items_and_accepts_no_more(database_url: str) -> None:
    writer = GroupCommitWriter(WriterSession(database_url))
    accepted = [asyncio.create_task(writer.append(item())) for _ in range(1000)]
    await asyncio.sleep(0)
    writer.start()
    closing = asyncio.create_task(writer.close())
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await writer.append(item())
    await closing
    assert kinds(await asyncio.gather(*accepted)) == [AppendResult] * 1000
    assert await events(database_url) == 1000


async def test_large_items_share_batches_of_four_megabytes(database_url: str) -> None:
    megabyte = os.urandom(700_000)  # and a third more in base64
    large = [item(events=[(uuid7(), "test.happened", megabyte)]) for _ in range(12)]
    too_large = item(events=[(uuid7(), "test.happened", bytes(BATCH_BYTES))])
    async with writing(database_url, large, timeout_seconds=20) as outcomes:
        assert kinds(outcomes) == [AppendResult] * 12
    assert await transactions(database_url) == 3
    writer = GroupCommitWriter(WriterSession(database_url))
    with pytest.raises(Refused):
        await writer.append(too_large)


async def test_a_server_that_refuses_everything_is_unavailable_and_refuses_no_item(
    database_url: str,
) -> None:
    database = sql.Identifier(name_of(database_url))
    setting = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}")
    execute(database_url, setting.format(database, "on"))
    writer = GroupCommitWriter(WriterSession(database_url), timeout_seconds=1.5)
    writer.start()
    appends = [writer.append(item()) for _ in range(BATCH_ITEMS)]
    outcomes = await asyncio.gather(*appends, return_exceptions=True)
    assert kinds(outcomes) == [Unavailable] * BATCH_ITEMS
    # A session gets its defaults when it starts, so the writer must open a new one.
    begin = "-c default_transaction_read_only=off"
    execute(make_conninfo(database_url, options=begin), setting.format(database, "off"))
    assert (await writer.append(item())).position == 1
    await writer.close()


async def test_a_command_reported_as_not_recorded_is_not_recorded_later(database_url: str) -> None:
    with tempfile.TemporaryDirectory(prefix="rb-") as directory:
        async with PostgresProxy.to(database_url, Path(directory)) as proxy:
            proxy.pause()
            writer = GroupCommitWriter(WriterSession(proxy.url), timeout_seconds=1.5)
            writer.start()
            early = asyncio.create_task(writer.append(item()))
            with pytest.raises(Unavailable):
                await early
            proxy.resume()
            later = await writer.append(item())
            await writer.close()
    assert later.position == 1
    assert await events(database_url) == 1


async def test_in_one_batch_a_waiting_command_is_recorded_and_a_cancelled_one_is_not(
    database_url: str,
) -> None:
    with tempfile.TemporaryDirectory(prefix="rb-") as directory:
        async with PostgresProxy.to(database_url, Path(directory)) as proxy:
            proxy.pause()
            writer = GroupCommitWriter(WriterSession(proxy.url))
            cancelled = asyncio.create_task(writer.append(item()))
            waits = asyncio.create_task(writer.append(item()))
            await asyncio.sleep(0)
            writer.start()
            await asyncio.sleep(0.1)
            cancelled.cancel()
            proxy.resume()
            assert (await waits).position == 1
            await writer.close()
    assert await events(database_url) == 1


async def test_an_outcome_is_unknown_only_after_the_item_was_sent(database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as holder:
        # Less than a session waits for a reply: both get an answer while the first batch is out.
        writer = GroupCommitWriter(WriterSession(database_url), timeout_seconds=1.2)
        writer.start()
        await writer.append(item())
        await holder.execute("SELECT pg_advisory_lock(1383034987, 1)")
        sent = asyncio.create_task(writer.append(item()))
        await asyncio.sleep(0.1)
        queued = asyncio.create_task(writer.append(item()))
        assert kinds(await asyncio.gather(sent, queued, return_exceptions=True)) == [
            OutcomeUnknown,
            Unavailable,
        ]
    await writer.append(item())
    await writer.close()
    assert await events(database_url) in (2, 3)


async def test_the_append_function_works_under_read_committed_only(database_url: str) -> None:
    payload = batch_payload([item()])
    for level in ("REPEATABLE READ", "SERIALIZABLE"):
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            await connection.execute(f"SET TRANSACTION ISOLATION LEVEL {level}".encode())
            with pytest.raises(psycopg.errors.RaiseException, match="READ COMMITTED"):
                await connection.execute("SELECT append_v2('main', %s::jsonb)", (payload,))


async def test_it_works_with_another_default_isolation_level(database_url: str) -> None:
    serializable = "ALTER DATABASE {} SET default_transaction_isolation = 'serializable'"
    execute(database_url, sql.SQL(serializable).format(sql.Identifier(name_of(database_url))))
    assert kinds(await written(database_url, [item()])) == [AppendResult]
