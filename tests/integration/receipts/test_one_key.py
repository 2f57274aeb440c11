"""One key for two commands at once, one of them to a user: one of them gets it."""

import asyncio

import psycopg
import pytest
from uuid_utils.compat import uuid7

from application.context import Context, IdempotencyKey
from application.errors import KeySeen
from application.log.event_log import Draft
from domain.user.events import UserRegistered
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import open_event_store
from tests.support.servers.postgres import MASTER_KEYS
from tests.support.views.directory import execute

KEY = IdempotencyKey("k", b"one" * 8)
BEGIN = """INSERT INTO receipts (tenant, actor, key, request, status, stream, version, position,
recorded_at) VALUES ('main', 'token:x', 'k', 'other', 0, gen_random_uuid(), 1, 0, now())"""
WAITING = """SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND query ~ 'append_v2'"""


def registration(name: str, key: IdempotencyKey | None) -> Draft:
    return Draft(
        kind="user",
        stream=uuid7(),
        after_version=0,
        events=(UserRegistered(name=name, email=f"{name}@example.org", role="member"),),
        context=Context(actor="token:x", correlation_id="c", idempotency=key),
        status=201,
    )


@pytest.mark.parametrize("others", [0, 2])
async def test_a_key_that_is_taken_during_an_append_fails_its_command_alone(
    database_url: str, others: int
) -> None:
    """The append has looked for the key before an administrative command commits it."""
    async with (
        open_event_store(database_url, MasterKeys.parse(MASTER_KEYS)) as store,
        await psycopg.AsyncConnection.connect(database_url) as administrator,
    ):
        await administrator.execute(BEGIN)
        append = asyncio.create_task(store.log.append(registration("grace", KEY)))
        beside = [
            asyncio.create_task(store.log.append(registration(f"n{n}", None)))
            for n in range(others)
        ]
        async with asyncio.timeout(10):
            while await execute(database_url, WAITING) == [(0,)]:
                await asyncio.sleep(0.01)
        await administrator.commit()
        with pytest.raises(KeySeen):
            await append
        await asyncio.gather(*beside)
    assert await execute(database_url, "SELECT count(*) FROM stored_events") == [(others,)]
