"""Concurrent commands on a real log: one address one user, no patch lost, one key one effect."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from psycopg.conninfo import make_conninfo
from uuid_utils.compat import uuid7

from application.context import Context, IdempotencyKey
from application.errors import (
    ClaimTaken,
    IdempotencyMismatch,
    NoSuchState,
    OutcomeUnknown,
    PreconditionFailed,
    UserGone,
)
from application.users.commands import IfMatch, Outcome
from application.users.service import UserService
from domain.errors import UserAlreadyExists, UserNotFound
from domain.user.commands import ChangeUser, DeleteUser, RegisterUser, RestoreUser, SuspendUser
from domain.values import EmailAddress, PersonName, Role
from infrastructure.database import Database
from infrastructure.event_store.log import PostgresEventLog
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import EventStore, open_event_store


def context(key: str | None = None, request: bytes = b"") -> Context:
    idempotency = IdempotencyKey(key, request) if key else None
    return Context(actor="token:t", correlation_id="test", idempotency=idempotency)


def registration(email: str, user_id: UUID | None = None) -> RegisterUser:
    return RegisterUser(
        user_id=user_id or uuid7(),
        name=PersonName.parse("Åsa Öberg"),
        email=EmailAddress.parse(email),
        role=Role.parse("member"),
    )


@pytest.fixture
async def store(database_url: str, master_keys: str) -> AsyncIterator[EventStore]:
    async with open_event_store(database_url, MasterKeys.parse(master_keys)) as store:
        yield store


@pytest.fixture
def users(store: EventStore) -> UserService:
    return UserService(store.log)


async def register(users: UserService, email: str, key: str | None = None) -> Outcome:
    command = registration(email)
    return await users.execute(command.user_id, command, context(key), status=201)


SPELLINGS = (
    "{0}@bücher.example",
    "{0}@xn--bcher-kva.example",
    "{1}@bücher.example",
    "{1}@BÜCHER.example",
    " {0}@bücher.example",
    "{0}@Xn--Bcher-Kva.EXAMPLE",
    "{2}@bücher.example",
    "{2}@bücher.EXAMPLE",
)


async def test_one_address_in_many_spellings_is_one_user_and_others_are_unaffected(
    users: UserService,
) -> None:
    wide = str.maketrans({"u": "\uff55"})
    addresses = [
        spelling.format(name, name.upper(), name.translate(wide))
        for name in (f"user{number}" for number in range(8))
        for spelling in SPELLINGS
    ]
    others = [f"other{number}@example.com" for number in range(200)]
    outcomes = await asyncio.gather(
        *(register(users, address) for address in [*addresses, *others]), return_exceptions=True
    )
    contested, free = outcomes[: len(addresses)], outcomes[len(addresses) :]
    assert Counter(type(outcome) for outcome in contested) == {Outcome: 8, ClaimTaken: 56}
    assert {type(outcome) for outcome in free} == {Outcome}
    winners = {outcome.user.user_id for outcome in contested if isinstance(outcome, Outcome)}
    holders = {outcome.holder for outcome in contested if isinstance(outcome, ClaimTaken)}
    assert holders == winners


async def test_twenty_patches_at_once_all_succeed_and_none_is_lost(
    users: UserService, database_url: str, master_keys: str
) -> None:
    user_id = (await register(users, "asa@example.com")).user.user_id

    async def patch(service: UserService, number: int) -> Outcome:
        attributes: dict[str, Any] = {f"key{number}": number}
        return await service.execute(user_id, ChangeUser(attributes=attributes), context())

    # Half of them run as in another process: no shared lock, only the append's own check.
    async with open_event_store(database_url, MasterKeys.parse(master_keys)) as other:
        services = (users, UserService(other.log))
        outcomes = await asyncio.gather(*(patch(services[n % 2], n) for n in range(20)))
    assert sorted(outcome.user.version for outcome in outcomes) == list(range(2, 22))
    now = await users.user_at(user_id)
    assert now.user.attributes == {f"key{number}": number for number in range(20)}


async def test_twenty_repeats_of_one_key_make_one_user(
    users: UserService, store: EventStore
) -> None:
    outcomes = await asyncio.gather(
        *(register(users, "asa@example.com", key="once") for _ in range(20))
    )
    assert len({outcome.user.user_id for outcome in outcomes}) == 1
    assert sum(not outcome.replayed for outcome in outcomes) == 1
    assert {(outcome.status, outcome.position) for outcome in outcomes} == {
        (201, outcomes[0].position)
    }
    assert len((await store.feed.read(0, 100)).events) == 1


async def test_a_repeat_that_cannot_be_read_back_has_an_unknown_outcome(
    users: UserService, store: EventStore, database_url: str
) -> None:
    await register(users, "asa@example.com", key="once")
    async with Database.open(make_conninfo(database_url, host="/nowhere"), size=1) as reader:
        blind = UserService(PostgresEventLog(reader, store.writer, store.mapper, store.keys, uuid7))
        with pytest.raises(OutcomeUnknown):
            await register(blind, "asa@example.com", key="once")


async def test_a_repeat_answers_like_the_first_call_despite_later_changes(
    users: UserService,
) -> None:
    first = await register(users, "asa@example.com", key="once")
    await users.execute(first.user.user_id, SuspendUser(), context())
    again = await register(users, "asa@example.com", key="once")
    assert again.replayed
    assert (again.user, again.position) == (first.user, first.position)
    with pytest.raises(IdempotencyMismatch):
        await users.execute(uuid7(), registration("b@example.com"), context("once", b"other"))


async def test_an_address_is_free_again_once_its_holder_is_deleted(users: UserService) -> None:
    first = await register(users, "asa@example.com")
    await users.execute(first.user.user_id, DeleteUser(), context())
    second = await register(users, "ASA@example.com")
    with pytest.raises(ClaimTaken):
        await users.execute(first.user.user_id, RestoreUser(), context())
    await users.execute(second.user.user_id, DeleteUser(), context())
    restored = await users.execute(first.user.user_id, RestoreUser(), context())
    assert restored.shown.user.status == "active"


async def test_a_change_of_spelling_keeps_the_claim(users: UserService) -> None:
    first = await register(users, "asa@example.com")
    spelled = ChangeUser(email=EmailAddress.parse("Asa@EXAMPLE.com"))
    assert (await users.execute(first.user.user_id, spelled, context())).user.version == 2
    with pytest.raises(ClaimTaken):
        await register(users, "asa@example.com")


async def test_a_command_that_changes_nothing_records_nothing(
    users: UserService, store: EventStore
) -> None:
    first = await register(users, "asa@example.com")
    user_id = first.user.user_id
    same = ChangeUser(name=PersonName.parse("Åsa Öberg"))
    outcome = await users.execute(user_id, same, context())
    assert (outcome.user, outcome.position) == (first.user, first.position)
    keyed = await users.execute(user_id, same, context("once"))
    replayed = await users.execute(user_id, same, context("once"))
    assert (keyed.replayed, replayed.replayed) == (False, True)
    assert await store.feed.head() == first.position


async def test_checks_run_in_a_fixed_order(users: UserService) -> None:
    first = await register(users, "asa@example.com", key="once")
    user_id = first.user.user_id
    stale = IfMatch(frozenset({7}))
    # A known idempotency key is found before a missing user, and before If-Match.
    replayed = await users.execute(uuid7(), SuspendUser(), context("once"), if_match=stale)
    assert replayed.replayed
    with pytest.raises(UserNotFound):
        await users.execute(uuid7(), SuspendUser(), context(), if_match=stale)
    with pytest.raises(PreconditionFailed) as failed:
        await users.execute(user_id, SuspendUser(), context(), if_match=stale)
    assert failed.value.version == 1
    await users.execute(user_id, DeleteUser(), context(), if_match=IfMatch(None))
    with pytest.raises(UserGone) as gone:
        await users.execute(user_id, SuspendUser(), context(), if_match=stale)
    assert (gone.value.status, gone.value.version) == ("deleted", 2)
    with pytest.raises(UserAlreadyExists):
        await users.execute(user_id, registration("b@example.com", user_id), context())


async def test_a_past_state_of_a_user_is_read_by_version_or_by_time(users: UserService) -> None:
    first = await register(users, "asa@example.com")
    user_id = first.user.user_id
    second = await users.execute(user_id, SuspendUser(reason="leave"), context())
    assert await users.user_at(user_id, version=1) == first.user
    assert await users.user_at(user_id, at=first.user.updated_at) == first.user
    assert await users.user_at(user_id, at=second.user.updated_at) == second.user
    with pytest.raises(NoSuchState):
        await users.user_at(user_id, version=3)
    with pytest.raises(NoSuchState):
        await users.user_at(user_id, at=first.shown.created_at.replace(year=2000))
