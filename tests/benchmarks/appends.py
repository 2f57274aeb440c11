"""Appends by 256 concurrent callers against INSERTs of one row each, committed one by one.

The twin writes the same rows over one connection into a table with the same columns and indexes.
It shows the cost of a plain event table for a client that commits every command. Both tables start
with a million rows, and so do the tables of claims, keys and receipts.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final, LiteralString

import psycopg
from msgspec.structs import replace
from uuid_utils.compat import uuid7

from application.log.event_log import Draft, EventLog
from domain.user.events import PreviousRole, UserRoleChanged
from infrastructure.event_store.serializer import to_state
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import open_event_store
from tests.benchmarks import harness
from tests.benchmarks.full_tables import fill
from tests.support.log.drafts import context, registration
from tests.support.servers.postgres import MASTER_KEYS

CALLERS: Final = 256
ROWS: Final = 1_000_000
PLAIN_TARGET: Final = 4.0
FULL_TARGET: Final = 1.8

_TWIN: Final[tuple[LiteralString, ...]] = (
    "CREATE TABLE raw (LIKE stored_events INCLUDING ALL)",
    "INSERT INTO raw SELECT * FROM stored_events",
    "VACUUM (ANALYZE) raw",
)
_INSERT: Final = """
INSERT INTO raw (originator_id, originator_version, topic, state, tenant, kind, event_id, actor,
                 correlation_id, recorded_at)
VALUES (%s, 1, %s, %s, 'main', 'user', %s, 'token:t', %s, clock_timestamp())"""
_EVENT: Final = UserRoleChanged(role="owner", previous=PreviousRole(role="member"))


async def appends(url: str, given: harness.Options) -> Sequence[harness.Comparison]:
    """Compares appends without claims and keys, then with everything that a registration has."""
    connect = psycopg.AsyncConnection.connect
    masters = MasterKeys.parse(MASTER_KEYS)
    async with (
        await connect(url, autocommit=True) as connection,
        open_event_store(url, masters) as store,
    ):
        seconds_to_fill = await fill(connection, given.rows, masters.newest)
        for statement in _TWIN:
            await connection.execute(statement)
        sys.stdout.write(
            f"{given.rows:,} rows in each table before, made in {seconds_to_fill:.0f} s\n"
        )

        async def twin(seconds: float) -> float:
            return await _inserts_per_second(connection, seconds)

        def ours(draft: Callable[[], Draft]) -> harness.Measured:
            return lambda seconds: _appends_per_second(store.log, draft, seconds)

        return [
            await harness.compare(
                "appends, claims and keys off", twin, ours(_plain), given, target=PLAIN_TARGET
            ),
            await harness.compare(
                "appends with claim, key, receipt and sealing",
                twin,
                ours(_full),
                given,
                target=FULL_TARGET,
            ),
        ]


async def _inserts_per_second(connection: psycopg.AsyncConnection, seconds: float) -> float:
    done = 0
    began = time.perf_counter()
    until = began + seconds
    while time.perf_counter() < until:
        stream, event_id = uuid7(), uuid7()
        state = to_state(_EVENT, stream, event_id, None)
        row = (stream, _EVENT.topic, state, event_id, str(uuid7()))
        await connection.execute(_INSERT, row, prepare=True)
        done += 1
    return done / (time.perf_counter() - began)


async def _appends_per_second(log: EventLog, draft: Callable[[], Draft], seconds: float) -> float:
    done = 0
    began = time.perf_counter()
    until = began + seconds

    async def call() -> None:
        nonlocal done
        while time.perf_counter() < until:
            await log.append(draft())
            done += 1

    async with asyncio.TaskGroup() as callers:
        for _ in range(CALLERS):
            callers.create_task(call())
    return done / (time.perf_counter() - began)


def _plain() -> Draft:
    draft = Draft(kind="user", stream=uuid7(), after_version=0, events=(_EVENT,), context=context())
    return _with_own_correlation_id(draft)


def _full() -> Draft:
    return _with_own_correlation_id(registration(email=f"{uuid7()}@example.com", key=str(uuid7())))


def _with_own_correlation_id(draft: Draft) -> Draft:
    """Each request has its own correlation id, because that column has an index."""
    return replace(draft, context=replace(draft.context, correlation_id=str(uuid7())))


if __name__ == "__main__":
    harness.run(appends, __doc__ or "", rows=ROWS)
