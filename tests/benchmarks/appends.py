"""Appends by 64 concurrent callers against INSERTs of one row each, committed one by one.

The twin writes the same rows into a table of the same layout with the same indexes, over one
connection: what a plain event table costs a client that commits every command.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

import psycopg
from uuid_utils.compat import uuid7

from application.event_log import Draft, EventLog
from domain.user.events import PreviousRole, UserRoleChanged
from infrastructure.event_store.mapper import to_state
from infrastructure.keys import MasterKeys
from interfaces.event_store import open_event_store
from tests.benchmarks import harness
from tests.drafts import context, registration
from tests.servers import MASTER_KEYS

CALLERS: Final = 64
PLAIN_TARGET: Final = 4.0
FULL_TARGET: Final = 1.8

_TABLE: Final = "CREATE TABLE raw (LIKE stored_events INCLUDING ALL)"
_INSERT: Final = """
INSERT INTO raw (originator_id, originator_version, topic, state, tenant, kind, event_id, actor,
                 correlation_id, recorded_at)
VALUES (%s, 1, %s, %s, 'main', 'user', %s, 'token:t', 'test', clock_timestamp())"""
_EVENT: Final = UserRoleChanged(role="owner", previous=PreviousRole(role="member"))


async def appends(url: str, given: harness.Options) -> Sequence[harness.Comparison]:
    """Without claims and keys, and with all that a registration has."""
    connect = psycopg.AsyncConnection.connect
    async with (
        await connect(url, autocommit=True) as connection,
        open_event_store(url, MasterKeys.parse(MASTER_KEYS)) as store,
    ):
        await connection.execute(_TABLE)

        async def twin(seconds: float) -> float:
            return await _single_rows(connection, seconds)

        def ours(draft: Callable[[], Draft]) -> harness.Measured:
            return lambda seconds: _appended(store.log, draft, seconds)

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


async def _single_rows(connection: psycopg.AsyncConnection, seconds: float) -> float:
    done = 0
    began = time.perf_counter()
    until = began + seconds
    while time.perf_counter() < until:
        stream, event_id = uuid7(), uuid7()
        state = to_state(_EVENT, stream, event_id, None)
        row = (stream, _EVENT.topic, state, event_id)
        await connection.execute(_INSERT, row, prepare=True)
        done += 1
    return done / (time.perf_counter() - began)


async def _appended(log: EventLog, draft: Callable[[], Draft], seconds: float) -> float:
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
    return Draft(kind="user", stream=uuid7(), after_version=0, events=(_EVENT,), context=context())


def _full() -> Draft:
    return registration(email=f"{uuid7()}@example.com", key=str(uuid7()))


if __name__ == "__main__":
    harness.run(appends, __doc__ or "")
