"""Tokens on a log in memory and on Postgres: which secrets are accepted, limits and races."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec import Struct
from uuid_utils.compat import uuid7

from application.access.tokens import TokenOutcome, TokenService
from application.access.tokens_credentials import TokenCredentials
from application.identity import PRESETS
from application.log.event_log import EventLog
from application.users.service import UserService
from domain.errors import TokenExpired, TokenExpiryPast, TokenNotFound, UserNotFound
from domain.token.commands import IssueToken, RotateToken
from domain.user.commands import DeleteUser
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import open_event_store
from interfaces.composition.tokens import token_credentials, token_service
from tests.support.doubles.event_log import InMemoryEventLog
from tests.support.doubles.tokens import MemoryTokens
from tests.support.log.drafts import context, registration

HOUR = timedelta(hours=1)


class Tokens(Struct, frozen=True):
    log: EventLog
    commands: TokenService
    callers: TokenCredentials

    async def issue(self, token_id: UUID | None = None, **fields: Any) -> TokenOutcome:
        given: dict[str, Any] = {"name": "crm", "permissions": PRESETS["reader"], **fields}
        command = IssueToken(**given, now=datetime.now(UTC))
        return await self.commands.issue(token_id or uuid7(), command, context())

    async def rotate(self, token_id: UUID, **fields: Any) -> TokenOutcome:
        given: dict[str, Any] = {"request": uuid7(), "now": datetime.now(UTC), **fields}
        command = RotateToken(**given)
        return await self.commands.rotate(token_id, command, context())

    async def accepted(self, *secrets: str | None) -> list[bool]:
        """Whether each secret is accepted now."""
        credentials = [self.callers.credential(secret or "") for secret in secrets]
        found = await self.callers.find([each for each in credentials if each is not None])
        return [credential in found for credential in credentials]

    async def types(self, token_id: UUID) -> list[str]:
        return [each.event.topic for each in (await self.log.load(token_id)).events]


@pytest.fixture(params=["memory", "postgres"])
async def tokens(request: pytest.FixtureRequest, master_keys: str) -> AsyncIterator[Tokens]:
    if request.param == "memory":
        log = InMemoryEventLog(uuid7)
        memory = MemoryTokens(log)
        yield Tokens(log, memory.commands, memory.callers)
        return
    url = request.getfixturevalue("database_url")
    async with open_event_store(url, MasterKeys.parse(master_keys)) as store:
        yield Tokens(store.log, token_service(store), token_credentials(store))


async def test_a_token_names_its_caller(tokens: Tokens) -> None:
    expires_at = datetime.now(UTC) + HOUR
    issued = await tokens.issue(expires_at=expires_at)
    assert issued.secret is not None
    credential = tokens.callers.credential(issued.secret)
    assert credential is not None
    assert issued.secret not in credential
    principal = (await tokens.callers.find([credential]))[credential]
    assert principal.actor == f"token:{issued.state.id}"
    assert (principal.name, principal.preset, principal.kind) == ("crm", "reader", "token")
    assert (principal.credential, principal.expires_at) == (credential, expires_at)


async def test_what_has_not_the_form_of_a_secret_is_no_credential(tokens: Tokens) -> None:
    issued = await tokens.issue()
    assert issued.secret is not None
    for text in ("", "admin", issued.secret[:-1], issued.secret[:-1] + "_", issued.secret + "0"):
        assert tokens.callers.credential(text) is None


async def test_several_credentials_are_found_at_once(tokens: Tokens) -> None:
    secrets = [(await tokens.issue(name=f"n{number}")).secret for number in range(3)]
    unknown = [tokens.callers.credential(secret or "") for secret in secrets]
    assert await tokens.accepted(*secrets) == [True] * 3
    assert await tokens.callers.find([f"{unknown[0]}0", "token:00", "token:"]) == {}
    assert await tokens.callers.find([]) == {}


async def test_a_rotation_without_overlap_ends_the_former_secret_at_once(tokens: Tokens) -> None:
    first = await tokens.issue()
    second = await tokens.rotate(first.state.id)
    assert second.secret != first.secret
    assert await tokens.accepted(first.secret, second.secret) == [False, True]
    third = await tokens.rotate(first.state.id)
    assert await tokens.accepted(first.secret, second.secret, third.secret) == [False, False, True]


async def test_during_an_overlap_both_secrets_are_accepted_and_never_a_third(
    tokens: Tokens,
) -> None:
    first = await tokens.issue()
    second = await tokens.rotate(first.state.id, overlap=HOUR)
    assert await tokens.accepted(first.secret, second.secret) == [True, True]
    third = await tokens.rotate(first.state.id, overlap=HOUR)
    secrets = (first.secret, second.secret, third.secret)
    assert await tokens.accepted(*secrets) == [False, True, True]
    fourth = await tokens.rotate(first.state.id)
    assert await tokens.accepted(*secrets, fourth.secret) == [False, False, False, True]


async def test_an_overlap_and_a_token_end_by_the_clock(tokens: Tokens) -> None:
    soon = timedelta(seconds=0.4)
    kept = await tokens.issue()
    rotated = await tokens.rotate(kept.state.id, overlap=soon)
    expiring = await tokens.issue(expires_at=datetime.now(UTC) + soon)
    secrets = (kept.secret, rotated.secret, expiring.secret)
    assert await tokens.accepted(*secrets) == [True, True, True]
    await asyncio.sleep(0.5)
    assert await tokens.accepted(*secrets) == [False, True, False]
    assert (await tokens.commands.token(expiring.state.id)).id == expiring.state.id
    with pytest.raises(TokenExpired):
        await tokens.rotate(expiring.state.id)
    with pytest.raises(TokenExpiryPast):
        await tokens.issue(expires_at=datetime.now(UTC))


async def test_a_revoked_token_is_gone_with_all_its_secrets(tokens: Tokens) -> None:
    first = await tokens.issue()
    token_id = first.state.id
    second = await tokens.rotate(token_id, overlap=HOUR)
    position = await tokens.commands.revoke(token_id, context())
    assert await tokens.accepted(first.secret, second.secret) == [False, False]
    with pytest.raises(TokenNotFound):
        await tokens.commands.token(token_id)
    with pytest.raises(TokenNotFound):
        await tokens.rotate(token_id)
    assert await tokens.commands.revoke(token_id, context()) == position
    assert (await tokens.commands.tokens(None, 10)).tokens == []
    assert (await tokens.types(token_id))[-1] == "token.revoked"


async def test_a_request_that_is_carried_out_twice_issues_and_rotates_once_without_the_secret(
    tokens: Tokens,
) -> None:
    token_id, request = uuid7(), uuid7()
    issued = await tokens.issue(token_id)
    again = await tokens.issue(token_id)
    assert (again.secret, again.state) == (None, issued.state)
    rotated = await tokens.rotate(token_id, request=request)
    again = await tokens.rotate(token_id, request=request)
    assert (again.secret, again.state) == (None, rotated.state)
    assert await tokens.accepted(rotated.secret) == [True]
    await tokens.commands.revoke(token_id, context())
    with pytest.raises(TokenNotFound):
        await tokens.issue(token_id)


async def test_the_list_has_pages_in_the_order_of_the_ids(tokens: Tokens) -> None:
    ids = sorted(uuid7() for _ in range(5))
    for token_id in reversed(ids):
        await tokens.issue(token_id)
    await tokens.rotate(ids[2], overlap=HOUR)
    await tokens.commands.revoke(ids[3], context())
    first = await tokens.commands.tokens(None, 2)
    assert ([each.id for each in first.tokens], first.next) == (ids[:2], ids[1])
    second = await tokens.commands.tokens(first.next, 2)
    assert ([each.id for each in second.tokens], second.next) == ([ids[2], ids[4]], None)
    assert (await tokens.commands.tokens(ids[4], 2)).tokens == []


async def test_each_use_is_noted_and_the_first_is_recorded_once(tokens: Tokens) -> None:
    used, idle = await tokens.issue(), await tokens.issue()
    credential = tokens.callers.credential(used.secret or "")
    assert credential is not None
    for _ in range(2):
        await tokens.callers.used([credential])
    assert await tokens.types(used.state.id) == ["token.issued", "token.first_used"]
    recorded = (await tokens.log.load(used.state.id)).events[1]
    assert recorded.actor == f"token:{used.state.id}"
    uses = await tokens.commands.last_uses([used.state, idle.state])
    assert uses.keys() == {used.state.id}
    assert abs(datetime.now(UTC) - uses[used.state.id]) < timedelta(seconds=30)
    assert await tokens.types(idle.state.id) == ["token.issued"]


async def test_a_use_of_what_is_revoked_meanwhile_records_nothing(tokens: Tokens) -> None:
    issued = await tokens.issue()
    credential = tokens.callers.credential(issued.secret or "")
    await tokens.commands.revoke(issued.state.id, context())
    await tokens.callers.used([credential or ""])
    await tokens.commands.record_first_use(issued.state.id)
    assert await tokens.types(issued.state.id) == ["token.issued", "token.revoked"]


async def test_concurrent_first_uses_are_one_event(tokens: Tokens) -> None:
    token_id = (await tokens.issue()).state.id
    await asyncio.gather(*(tokens.commands.record_first_use(token_id) for _ in range(8)))
    assert await tokens.types(token_id) == ["token.issued", "token.first_used"]


async def test_concurrent_rotations_leave_one_secret_and_all_are_recorded(tokens: Tokens) -> None:
    token_id = (await tokens.issue()).state.id
    outcomes = await asyncio.gather(*(tokens.rotate(token_id) for _ in range(8)))
    assert len(await tokens.types(token_id)) == 9
    last = max(outcomes, key=lambda each: each.state.version)
    assert await tokens.accepted(*(each.secret for each in outcomes)) == [
        each is last for each in outcomes
    ]


async def test_a_rotation_and_a_revocation_at_once_leave_no_secret(tokens: Tokens) -> None:
    issued = await tokens.issue()
    rotated, _ = await asyncio.gather(
        tokens.rotate(issued.state.id, overlap=HOUR),
        tokens.commands.revoke(issued.state.id, context()),
        return_exceptions=True,
    )
    secrets = [issued.secret]
    if isinstance(rotated, TokenOutcome):
        secrets.append(rotated.secret)
    else:
        assert isinstance(rotated, TokenNotFound)
    assert not any(await tokens.accepted(*secrets))


async def test_a_user_is_no_token_and_a_token_is_no_user(tokens: Tokens) -> None:
    users = UserService(tokens.log)
    token_id = (await tokens.issue()).state.id
    user = (await tokens.log.append(registration())).events[0].stream
    with pytest.raises(UserNotFound):
        await users.execute(token_id, DeleteUser(), context())
    for command in (
        tokens.rotate(user),
        tokens.commands.revoke(user, context()),
        tokens.commands.token(user),
        tokens.commands.token(uuid7()),
        tokens.commands.revoke(uuid7(), context()),
    ):
        with pytest.raises(TokenNotFound):
            await command
