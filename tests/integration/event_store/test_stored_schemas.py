"""The event types and versions that a store reports, against those that commands write today."""

from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from uuid_utils.compat import uuid7

from application.errors import Unavailable
from application.log.schemas import StoredSchema
from application.users.service import UserService
from domain.user.commands import (
    ChangeUser,
    DeleteUser,
    EraseUser,
    RegisterUser,
    ReinstateUser,
    ReplaceUser,
    RestoreUser,
    SuspendUser,
    UserCommand,
)
from domain.user.events import USER_EVENTS
from domain.values import EmailAddress, ExternalId, PersonName, Role
from infrastructure.database import Database
from infrastructure.event_store.schemas import stored_schemas
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import open_event_store
from tests.contracts.test_golden_files import PAIRS
from tests.support.log.drafts import context
from tests.support.processes.people import registration

INSERT = """
INSERT INTO stored_events (originator_id, originator_version, topic, state, tenant, kind, event_id,
                           actor, correlation_id, recorded_at)
VALUES (%s, 1, %s, %s, 'main', 'user', %s, 'test', 'test', now())"""


@pytest.fixture
async def users(database_url: str, master_keys: str) -> AsyncIterator[UserService]:
    async with open_event_store(database_url, MasterKeys.parse(master_keys)) as store:
        yield UserService(store.log)


async def insert(url: str, *rows: tuple[str, bytes]) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        for topic, state in rows:
            await connection.execute(INSERT, (uuid7(), topic, state, uuid7()))


async def stored(url: str) -> dict[tuple[str, int], int]:
    async with Database.open(url, size=1) as database:
        found = await stored_schemas(database)
    return {(schema.topic, schema.version): schema.events for schema in found}


LIFE: tuple[UserCommand, ...] = (
    ChangeUser(name=PersonName.parse("Zoë")),
    ChangeUser(email=EmailAddress.parse("zoe@example.org"), role=Role.parse("owner")),
    ChangeUser(external_id=ExternalId.parse("e-1"), attributes={"v": 7, "team": "maps"}),
    ReplaceUser(
        name=PersonName.parse("Yan"),
        email=EmailAddress.parse("yan@example.org"),
        role=Role.parse("member"),
        external_id=None,
        attributes={},
    ),
    SuspendUser(reason="on leave"),
    ReinstateUser(reason="back"),
    DeleteUser(reason="left"),
    RestoreUser(),
    EraseUser(),
)


async def test_commands_write_the_latest_schemas_and_each_has_a_golden_file(
    database_url: str, users: UserService
) -> None:
    assert {type(command) for command in LIFE} | {RegisterUser} == set(UserCommand.__args__)
    person = uuid7()
    await users.execute(person, registration(person), context())
    for command in LIFE:
        await users.execute(person, command, context())
    found = await stored(database_url)
    today = {(event.topic, event.schema_version) for event in USER_EVENTS}
    assert found.keys() == today
    assert found.keys() <= PAIRS.keys()
    assert found["user.registered", 2] == 1
    assert found["user.renamed", 1] == 2
    async with Database.open(database_url, size=1) as database:
        assert all(schema.is_readable for schema in await stored_schemas(database))


async def test_each_golden_file_is_reported_with_its_version(database_url: str) -> None:
    await insert(database_url, *((topic, path.read_bytes()) for (topic, _), path in PAIRS.items()))
    assert await stored(database_url) == dict.fromkeys(PAIRS, 1)


@pytest.mark.parametrize(
    ("state", "version"),
    [
        (b'{"data":{"a":{"v":3}}}', 1),
        (b'{"data":{"a":1,"v":3}}', 1),
        (b'{"data":{},"sealed":"QUJD","v":12}', 12),
        (b'{"data":{},"v":3}', 3),
        ('{"data":{"a":"ååååååååå"},"v":3}'.encode(), 3),
        (b'{"data":{"a":",\\"v\\":3}"}}', 1),
        (b"no JSON, \xff\x00 nor text", 1),
        (b"", 1),
    ],
)
async def test_only_a_version_of_the_whole_state_counts(
    database_url: str, state: bytes, version: int
) -> None:
    await insert(database_url, ("user.renamed", state))
    assert await stored(database_url) == {("user.renamed", version): 1}


async def test_an_empty_store_has_nothing(database_url: str) -> None:
    assert await stored(database_url) == {}


async def test_an_absent_database_is_reported_as_unavailable(database_url: str) -> None:
    with pytest.raises(Unavailable):
        await stored(make_conninfo(database_url, port=1))


@pytest.mark.parametrize(
    ("topic", "version", "readable"),
    [
        ("user.registered", 1, True),
        ("user.registered", 2, True),
        ("user.registered", 3, False),
        ("user.registered", 0, False),
        ("user.renamed", 1, True),
        ("user.renamed", 2, False),
        ("user.promoted", 1, False),
    ],
)
def test_a_release_reads_its_own_schemas_and_all_earlier_ones(
    topic: str, version: int, readable: bool
) -> None:
    assert StoredSchema(topic, version, 1).is_readable == readable
