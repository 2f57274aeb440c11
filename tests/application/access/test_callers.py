"""Callers: found in memory, checked each second, refused when they are revoked."""

import asyncio
import math
from contextlib import suppress

import pytest
from msgspec.structs import replace

from application.access.callers import FRESH_SECONDS, Callers
from application.access.ports import Presented
from application.errors import Unavailable
from application.identity import PRESETS, Principal
from tests.support.doubles.credentials import InMemoryCredentials
from tests.support.http.preset_tokens import PresetTokens

CRM = Principal(actor="token:crm", permissions=PRESETS["reader"])
ADA = Principal(actor="local:ada", permissions=PRESETS["admin"], kind="session")


class Access:
    """Callers with two sources in memory, and a clock that the test moves."""

    def __init__(self) -> None:
        self.tokens, self.sessions = InMemoryCredentials("token"), InMemoryCredentials("session")
        self.now = 1000.0
        self.callers = Callers(
            fixed=PresetTokens(),
            tokens=self.tokens,
            sessions=self.sessions,
            clock=lambda: self.now,
        )

    async def of(self, secret: str) -> Principal | None:
        return await self.callers.of(Presented("bearer", secret))

    async def pass_seconds(self, seconds: float) -> None:
        """Let the checks of so many seconds run."""
        for _ in range(math.ceil(seconds)):
            self.now += 1
            await self.callers.check()


@pytest.fixture
def access() -> Access:
    return Access()


async def test_a_caller_is_looked_up_once_and_then_known(access: Access) -> None:
    crm = access.tokens.add("secret", CRM)
    assert access.callers.known(Presented("bearer", "secret")) is None
    assert [await access.of("secret") for _ in range(3)] == [crm] * 3
    assert access.callers.known(Presented("bearer", "secret")) == crm
    assert len(access.tokens.searches) == 1


async def test_concurrent_requests_share_one_look_up(access: Access) -> None:
    crm = access.tokens.add("secret", CRM)
    assert await asyncio.gather(*(access.of("secret") for _ in range(50))) == [crm] * 50
    assert len(access.tokens.searches) == 1


async def test_a_request_that_ends_does_not_end_the_look_up_of_others(access: Access) -> None:
    crm = access.tokens.add("secret", CRM)
    first = asyncio.create_task(access.of("secret"))
    second = asyncio.create_task(access.of("secret"))
    await asyncio.sleep(0)
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    assert await second == crm


async def test_a_token_is_no_session_and_a_session_no_token(access: Access) -> None:
    access.tokens.add("of-a-token", CRM)
    access.sessions.add("of-a-session", ADA)
    assert await access.callers.of(Presented("session", "of-a-token")) is None
    assert await access.of("of-a-session") is None
    assert await access.callers.of(Presented("session", "admin")) is None
    assert await access.callers.of(Presented("session", "of-a-session")) is not None


async def test_the_token_of_the_settings_is_never_looked_up(access: Access) -> None:
    access.tokens.is_away = True
    assert await access.of("admin") is not None
    assert access.callers.known(Presented("bearer", "admin")) is not None


async def test_a_revoked_caller_is_refused_after_the_next_check(access: Access) -> None:
    access.tokens.add("secret", CRM)
    await access.of("secret")
    access.tokens.revoke("secret")
    await access.pass_seconds(1)
    assert access.callers.known(Presented("bearer", "secret")) is None
    assert await access.of("secret") is None


async def test_a_caller_in_use_is_checked_each_second_and_one_out_of_use_is_not(
    access: Access,
) -> None:
    access.tokens.add("secret", CRM)
    await access.of("secret")
    await access.pass_seconds(60)
    assert len(access.tokens.searches) == 61
    await access.pass_seconds(30)
    assert len(access.tokens.searches) == 61
    assert access.callers.known(Presented("bearer", "secret")) is None


async def test_while_the_database_is_away_a_caller_is_known_for_some_seconds_only(
    access: Access,
) -> None:
    crm = access.tokens.add("secret", CRM)
    await access.of("secret")
    access.tokens.is_away = True
    for _ in range(int(FRESH_SECONDS)):
        with pytest.raises(Unavailable):
            await access.pass_seconds(1)
        assert await access.of("secret") == crm
    access.now += 0.1
    with pytest.raises(Unavailable):
        await access.of("secret")
    access.tokens.is_away = False
    assert await access.of("secret") == crm


async def test_a_session_ends_with_the_token_that_it_was_made_with(access: Access) -> None:
    parent = access.tokens.add("secret", CRM)
    access.sessions.add("cookie", replace(ADA, parent=parent.credential))
    ada = await access.callers.of(Presented("session", "cookie"))
    assert ada is not None
    assert await access.callers.is_valid(ada)
    access.tokens.revoke("secret")
    await access.pass_seconds(1)
    assert not await access.callers.is_valid(ada)
    assert await access.callers.of(Presented("session", "cookie")) is None


async def test_a_stream_hears_of_the_end_of_its_caller_that_presents_nothing_more(
    access: Access,
) -> None:
    crm = access.tokens.add("secret", CRM)
    ended = asyncio.create_task(access.callers.until_ended(crm))
    await asyncio.sleep(0)
    await access.pass_seconds(300)
    assert not ended.done()
    access.tokens.revoke("secret")
    await access.pass_seconds(1)
    async with asyncio.timeout(10):
        await ended
    await access.pass_seconds(61)
    before = len(access.tokens.searches)
    await access.pass_seconds(5)
    assert len(access.tokens.searches) == before


async def test_the_use_of_a_credential_is_reported_at_once_and_then_once_a_minute(
    access: Access,
) -> None:
    crm = access.tokens.add("secret", CRM)
    for _ in range(121):
        await access.of("secret")
        await access.callers.report()
        await access.pass_seconds(1)
    assert access.tokens.reported == [frozenset({crm.credential})] * 3


async def test_a_report_that_fails_is_sent_again(access: Access) -> None:
    access.tokens.add("secret", CRM)
    await access.of("secret")
    access.tokens.is_away = True
    with pytest.raises(Unavailable):
        await access.callers.report()
    access.tokens.is_away = False
    await access.callers.report()
    assert len(access.tokens.reported) == 1


def test_what_a_request_presents_does_not_show_its_secret() -> None:
    assert "secret" not in repr(Presented("bearer", "secret"))
