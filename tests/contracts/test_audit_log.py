"""The contract of every audit log: the Postgres one and its double in memory."""

import random
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

import psycopg
import pytest
from msgspec.structs import replace
from uuid_utils.compat import uuid7

from application.audit.search import (
    Audit,
    AuditLog,
    AuditPage,
    AuditQuery,
    EventLookup,
    PositionRange,
)
from application.context import Context
from application.log.event_log import Draft, EventFeed, EventLog
from domain.event import Event, Recorded
from domain.user.events import (
    PreviousName,
    UserDeleted,
    UserErased,
    UserReinstated,
    UserRenamed,
    UserRestored,
    UserSuspended,
)
from infrastructure.event_store.audit import search_sql, step_size
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import open_event_store
from tests.support.doubles.audit_log import InMemoryAuditLog, matches
from tests.support.doubles.event_log import InMemoryEventLog
from tests.support.log.drafts import change, registration

RENAMED = UserRenamed(name="Bo", previous=PreviousName(name="Åsa Öberg"))
USERS = AuditQuery(kinds=("user",))
WHOLE = PositionRange(0, 2**62)


class Backend(NamedTuple):
    log: EventLog
    feed: EventFeed
    audit: AuditLog
    events: EventLookup


@pytest.fixture(params=["memory", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("database_url") if request.param == "postgres" else None


@pytest.fixture
async def backend(url: str | None, master_keys: str) -> AsyncIterator[Backend]:
    if url is None:
        log = InMemoryEventLog(uuid7)
        audit = InMemoryAuditLog(log)
        yield Backend(log, log, audit, audit)
        return
    async with open_event_store(url, MasterKeys.parse(master_keys)) as store:
        yield Backend(store.log, store.feed, store.audit, store.audit)


async def append(
    backend: Backend,
    draft: Draft,
    actor: str = "token:t",
    request: str = "r",
    on_behalf_of: str | None = None,
) -> Sequence[Recorded[Event]]:
    context = Context(actor=actor, correlation_id=request, on_behalf_of=on_behalf_of)
    return (await backend.log.append(replace(draft, context=context))).events


async def user_with(backend: Backend, *events: Event) -> UUID:
    """A user with these events after its registration."""
    stream = uuid7()
    await append(backend, registration(stream))
    key = (await backend.log.load(stream)).key
    for version, event in enumerate(events, start=1):
        await append(backend, change(stream, version, event, sealed_with=key))
    return stream


async def all_pages(backend: Backend, query: AuditQuery) -> list[AuditPage]:
    audit = Audit(backend.audit, backend.log)
    pages = [await audit.page(query, opened=True)]
    while (before := pages[-1].before) is not None:
        pages.append(await audit.page(replace(query, before=before), opened=True))
    return pages


async def test_pages_under_any_filter_equal_a_scan_of_the_whole_log(
    backend: Backend,
) -> None:
    rng = random.Random(3)
    streams = [uuid7() for _ in range(4)]
    versions = dict.fromkeys(streams, 0)
    for _ in range(60):
        stream = rng.choice(streams)
        draft = change(stream, versions[stream]) if versions[stream] else registration(stream)
        versions[stream] += 1
        actor, request = f"token:{rng.randrange(3)}", f"r{rng.randrange(4)}"
        await append(backend, draft, actor, request, rng.choice((None, "hr", "it")))
    log = list(reversed((await backend.feed.read(0, 1000)).events))
    for _ in range(80):
        since, until = sorted(rng.choice(log).recorded_at for _ in range(2))
        query = AuditQuery(
            kinds=rng.choice((("user",), ())),
            types=rng.choice(((), ("user.registered",), ("user.role_changed", "nothing"))),
            actors=rng.choice(((), ("token:1",), ("token:0", "token:2", "token:nobody"))),
            correlation_ids=rng.choice(((), (), ("r1",), ("r0", "r3"))),
            on_behalf_of=rng.choice(((), (), ("hr",), ("hr", "it"))),
            user=rng.choice((None, None, *streams, uuid7())),
            since=rng.choice((None, since)),
            until=rng.choice((None, until)),
            limit=rng.choice((1, 2, 7, 200)),
        )
        expected = [
            each.position
            for each in log
            if matches(query, each)
            and (query.since is None or each.recorded_at >= query.since)
            and (query.until is None or each.recorded_at < query.until)
        ]
        pages = await all_pages(backend, query)
        assert [item.position for page in pages for item in page.items] == expected
        assert all(len(page.items) == query.limit for page in pages[:-1])
        assert pages == pages[:1] or pages[-1].items


async def test_events_recorded_meanwhile_are_not_in_later_pages(backend: Backend) -> None:
    for _ in range(4):
        await append(backend, registration())
    audit = Audit(backend.audit, backend.log)
    first = await audit.page(replace(USERS, limit=2), opened=True)
    await append(backend, registration())
    second = await audit.page(replace(USERS, limit=2, before=first.before), opened=True)
    positions = [item.position for page in (first, second) for item in page.items]
    assert positions == sorted(positions, reverse=True)
    assert len(set(positions)) == 4
    assert second.before is None


async def test_the_last_position_before_any_time_is_found(
    backend: Backend, url: str | None
) -> None:
    microsecond = timedelta(microseconds=1)
    events = [(await append(backend, registration()))[0] for _ in range(9)]
    if url is not None:
        # As after a restore: positions continue far above.
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute(
                "SELECT setval('stored_events_notification_id_seq', 1000000000000)"
            )
        events += [(await append(backend, registration()))[0] for _ in range(2)]
    before = [0, *(each.position for each in events)]
    for each, position in zip(events, before, strict=False):
        assert await backend.audit.last_before(each.recorded_at) == position
        assert await backend.audit.last_before(each.recorded_at + microsecond) == each.position


async def test_there_is_no_position_before_the_first_event(backend: Backend) -> None:
    [event] = await append(backend, registration())
    earlier = event.recorded_at - timedelta(days=1)
    assert await backend.audit.last_before(earlier) == 0


@pytest.mark.parametrize(
    ("events", "status", "before_deletion"),
    [
        ([], "active", None),
        ([UserSuspended()], "suspended", None),
        ([UserSuspended(), RENAMED, UserReinstated(), RENAMED], "active", None),
        ([UserDeleted()], "deleted", "active"),
        ([UserSuspended(), UserDeleted()], "deleted", "suspended"),
        ([UserSuspended(), UserDeleted(), UserRestored()], "suspended", None),
        ([UserSuspended(), UserDeleted(), UserRestored(), UserDeleted()], "deleted", "suspended"),
        ([UserDeleted(), UserErased()], "erased", None),
    ],
)
async def test_a_status_before_a_version_follows_from_the_events_before_it(
    backend: Backend, events: list[Event], status: str, before_deletion: str | None
) -> None:
    stream = await user_with(backend, *events)
    [before] = await backend.audit.statuses([(stream, len(events) + 2)])
    assert before.status == status
    assert before_deletion in (None, before.before_deletion)


async def test_statuses_come_in_the_requested_order(backend: Backend) -> None:
    one, two = await user_with(backend, UserSuspended()), await user_with(backend)
    requested = [(one, 3), (two, 2), (one, 2)]
    statuses = await backend.audit.statuses(requested)
    assert [each.status for each in statuses] == ["suspended", "active", "active"]


async def test_events_of_a_user_are_found_by_their_versions(backend: Backend) -> None:
    stream = await user_with(backend, RENAMED, UserSuspended(), RENAMED)
    await user_with(backend, RENAMED)
    found = await backend.events.events_of(stream, [4, 2, 9])
    assert [(each.stream, each.version) for each in found] == [(stream, 2), (stream, 4)]
    assert [each.event for each in found] == [RENAMED, RENAMED]
    assert await backend.events.events_of(stream, []) == []


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (USERS, "stored_events_position"),
        (AuditQuery(types=("user.erased",)), "stored_events_position"),
        (replace(USERS, user=UUID(int=5)), "stored_events_pkey"),
        (replace(USERS, actors=("token:5",)), "stored_events_actor"),
        (replace(USERS, actors=("token:5", "token:no")), "stored_events_actor"),
        (replace(USERS, correlation_ids=("r5",)), "stored_events_correlation"),
        (replace(USERS, actors=("token:5",), on_behalf_of=("hr",)), "stored_events_actor"),
    ],
    ids=str,
)
async def test_every_query_uses_an_index(database_url: str, query: AuditQuery, index: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(
            """INSERT INTO stored_events
            SELECT ('00000000-0000-0000-0000-' || lpad(to_hex(n % 9000), 12, '0'))::uuid,
                n / 9000 + 1, 'user.renamed', '{}', n, 'main', 'user', gen_random_uuid(),
                'token:' || CASE WHEN n % 9000 = 5 THEN 5 ELSE 10 + n % 20 END, NULL, 'r' || n, NULL, now() + n * interval '1 ms'
            FROM generate_series(1, 60000) n"""
        )
        await connection.execute("ANALYZE stored_events")
        parameters = {
            "actors": list(query.actors),
            "on_behalf_of": list(query.on_behalf_of),
            "correlation_ids": list(query.correlation_ids),
            "user": query.user,
            "types": list(query.types),
            "kinds": list(query.kinds),
            "above": 0,
            "below": 2**62,
            "look": step_size(query, 51),
            "limit": 51,
        }
        cursor = await connection.execute("EXPLAIN " + search_sql(query), parameters)  # pyright: ignore[reportArgumentType, reportCallIssue]
        plan = "\n".join(row[0] for row in await cursor.fetchall())
    assert "Seq Scan" not in plan, plan
    assert index in plan, plan
