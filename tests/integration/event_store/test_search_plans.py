"""A search reads a limited part of the log, however long the log is and however rare the events."""

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final, LiteralString
from uuid import UUID

import psycopg
import pytest
from psycopg.types.numeric import Int8

from application.audit.search import AuditQuery
from application.log.search import EventFilter
from infrastructure.database import Database
from infrastructure.event_store.audit import PostgresAuditLog, search_sql, step_size
from infrastructure.event_store.search_statements import IN_ORDER, search_statement
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import open_event_store
from tests.support.servers.postgres import MASTER_KEYS, database, scaled

EVENTS: Final = scaled(60_000)
LIMIT: Final = 100
# The rows that a search reads from an index: it may examine 20,000 events, and count them before.
MAX_ROWS: Final = 41_000

LONG, SHORT, NOBODY = (UUID(int=n) for n in (2, 3, 4))
# Every second event is of one user, another one has three, and the others have one each.
FILL: Final[LiteralString] = """
INSERT INTO stored_events (originator_id, originator_version, topic, state, notification_id, tenant,
    kind, event_id, actor, correlation_id, recorded_at)
SELECT stream, row_number() OVER (PARTITION BY stream ORDER BY n), topic, '{"data":{}}', n, 'main',
    kind, gen_random_uuid(), 'token:t', n::text, now() + n * interval '1 s'
FROM (
    SELECT n,
        CASE WHEN n %% 2 = 0 THEN %(long)s
             WHEN n IN (7, %(events)s / 2 + 1, %(events)s - 1) THEN %(short)s
             ELSE md5(n::text)::uuid END AS stream,
        CASE WHEN n = %(events)s - 2 THEN 'user.suspended' WHEN n %% 3 = 0 THEN 'user.renamed'
             ELSE 'user.role_changed' END AS topic,
        CASE WHEN n %% 50001 = 0 THEN 'token' ELSE 'user' END AS kind
    FROM generate_series(1, %(events)s) AS n) AS made
ORDER BY made.n"""


def wanted(*types: str, user: UUID | None = None) -> EventFilter:
    return EventFilter.parse(types, user=user, every_kind=True)


FILTERS: Final = {
    "no filter": wanted(),
    "a frequent type": wanted("user.renamed"),
    "a rare type": wanted("user.suspended"),
    "no type": wanted("no.such"),
    "a rare kind": wanted("token.*"),
    "a user": wanted(user=SHORT),
    "a user with half of the log": wanted(user=LONG),
    "a rare type of that user": wanted("user.suspended", user=LONG),
    "an unknown user": wanted(user=NOBODY),
}
# A step of an audit examines 2,000 events.
MAX_AUDITED_ROWS: Final = 2500
# These find a page, or the end of the user's events, without examining others.
MAX_FEW_ROWS: Final = 5 * LIMIT
FEW: Final = ("no filter", "a frequent type", "a user", "a user with half of the log")


@pytest.fixture(scope="module")
def url(postgres_url: str, migrated_template: str) -> Iterator[str]:
    with database(postgres_url, migrated_template) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(FILL, {"events": EVENTS, "long": LONG, "short": SHORT})
            connection.execute("VACUUM (ANALYZE) stored_events")
        yield url


@pytest.fixture
async def reader(url: str) -> AsyncIterator[Database]:
    async with Database.open(url) as database:
        yield database


async def rows_read(reader: Database, asked: EventFilter, after: int) -> int:
    """The number of rows that the production statement reads, all of them by an index."""
    return await rows_of_statement(reader, *search_statement(after, asked, LIMIT))


async def rows_of_statement(reader: Database, statement: str, parameters: Mapping[str, Any]) -> int:
    explain = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}"
    ((plan,),) = await reader.rows(explain, parameters, seconds=30, settings=IN_ORDER)
    return sum(rows_of(node) for node in nodes(plan[0]["Plan"]))


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def rows_of(node: dict[str, Any]) -> int:
    assert node["Node Type"] not in ("Seq Scan", "Sort") or node["Actual Rows"] <= LIMIT + 1, node
    if "Index" not in node["Node Type"]:
        return 0
    filtered = node.get("Rows Removed by Filter", 0)
    return round((node["Actual Rows"] + filtered) * node["Actual Loops"])


@pytest.mark.parametrize("place", [0, 0.4, 0.999])
@pytest.mark.parametrize("name", FILTERS)
async def test_a_search_reads_a_limited_number_of_rows(
    reader: Database, name: str, place: float
) -> None:
    limit = MAX_FEW_ROWS if name in FEW else MAX_ROWS
    assert await rows_read(reader, FILTERS[name], round(place * EVENTS)) <= limit


@pytest.mark.parametrize("between", [(0, 1), (0.5, 0.501), (0, 0.001), (0.999, 1), (0.2, 0.8)])
@pytest.mark.parametrize("types", [("user.suspended",), ("user.renamed",)])
@pytest.mark.parametrize("user", [LONG, SHORT, NOBODY])
async def test_an_audit_of_a_user_reads_a_limited_number_of_rows(
    reader: Database, user: UUID, types: tuple[str, ...], between: tuple[float, float]
) -> None:
    query = AuditQuery(user=user, types=types)
    above, below = (Int8(round(place * EVENTS)) for place in between)
    parameters = {
        "user": user,
        "types": list(types),
        "kinds": [],
        "above": above,
        "below": below,
        "look": Int8(step_size(query, LIMIT)),
        "limit": Int8(LIMIT),
    }
    assert await rows_of_statement(reader, search_sql(query), parameters) <= MAX_AUDITED_ROWS


async def test_the_statuses_of_one_user_at_many_versions_are_found_in_one_pass(
    url: str, reader: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, Any]] = []
    rows = reader.rows

    async def recorded(statement: str, parameters: Any, **named: Any) -> list[Any]:
        asked.append((statement, parameters))
        return await rows(statement, parameters, **named)

    async with open_event_store(url, MasterKeys.parse(MASTER_KEYS)) as store:
        with monkeypatch.context() as patched:
            patched.setattr(reader, "rows", recorded)
            places = [(LONG, EVENTS // 2 - n) for n in range(0, 100, 5)]
            await PostgresAuditLog(reader, store.mapper).statuses([*places, (SHORT, 3)])
    # Once for the last status before the first place, and once for those between.
    assert sum([await rows_of_statement(reader, *each) for each in asked]) <= EVENTS + 10


@pytest.mark.alone
@pytest.mark.long
async def test_a_user_is_found_as_fast_in_a_long_log_as_in_a_short_one(reader: Database) -> None:
    async def seconds(after: int) -> float:
        began = time.perf_counter()
        for _ in range(50):
            await reader.rows(*search_statement(after, FILTERS["a user"], LIMIT))
        return time.perf_counter() - began

    near = min([await seconds(EVENTS - 2) for _ in range(5)])
    far = min([await seconds(0) for _ in range(5)])
    assert far < 3 * near
