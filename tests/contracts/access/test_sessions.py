"""The contract of every store of sessions and sign-in links: on Postgres, and the double in memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import psycopg
import pytest
from msgspec import Struct
from uuid_utils.compat import uuid7

from application.access.links import SignInLinks
from application.access.ports import CredentialSource
from application.access.sessions import NewSession, StartedSession
from application.errors import Unavailable
from application.identity import PRESETS
from infrastructure.database import Database
from infrastructure.identity.links import PostgresSignInLinks
from infrastructure.identity.sessions import PostgresSessions
from tests.support.doubles.sessions import InMemorySessions, InMemorySignInLinks

HOUR: Final = 3600
DAY: Final = 24 * HOUR
FIXED: Final = b"the token of the settings"
LOCAL: Final = NewSession(
    actor="local:ada", permissions=PRESETS["admin"], name="ada", via="link", parent="token:00"
)
OF_TOKEN: Final = NewSession(
    actor="token:7", permissions=PRESETS["reader"], name=None, via="token", by_fixed_token=True
)

# Moves the times of all rows back, which is as if the clock had moved forward.
ADVANCE: Final = (
    "UPDATE sessions SET created_at = created_at - make_interval(secs => %(s)s), "
    "last_seen_at = last_seen_at - make_interval(secs => %(s)s), "
    "expires_at = expires_at - make_interval(secs => %(s)s)",
    "UPDATE signin_links SET expires_at = expires_at - make_interval(secs => %(s)s)",
)


class UnderTest(Struct):
    """Sessions and links, and a function that moves their clock forward."""

    sessions: InMemorySessions | PostgresSessions
    links: SignInLinks
    advance: Callable[[float], Awaitable[None]]

    async def start(self, session: NewSession, former: str | None = None) -> str:
        """The credential of a new session."""
        return self.credential(await self.sessions.start(session, former))

    def credential(self, started: StartedSession) -> str:
        credential = self.sessions.credential(started.secret)
        assert credential is not None
        return credential

    async def is_found(self, credential: str) -> bool:
        return credential in await self.sessions.find([credential])


@pytest.fixture(params=["memory", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("database_url") if request.param == "postgres" else None


@pytest.fixture
async def under_test(url: str | None) -> AsyncIterator[UnderTest]:
    if url is None:
        passed = timedelta()

        async def advance(seconds: float) -> None:
            nonlocal passed
            passed += timedelta(seconds=seconds)

        def now() -> datetime:
            return datetime.now(UTC) + passed

        yield UnderTest(InMemorySessions(now, uuid7), InMemorySignInLinks(now, uuid7), advance)
        return

    async def advance_rows(seconds: float) -> None:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            for statement in ADVANCE:
                await connection.execute(statement, {"s": seconds})

    async with Database.open(url) as database:
        sessions = PostgresSessions(database, FIXED, uuid7)
        yield UnderTest(sessions, PostgresSignInLinks(database, FIXED), advance_rows)


async def test_a_session_is_found_as_it_was_started(under_test: UnderTest) -> None:
    for session in (LOCAL, OF_TOKEN):
        credential = await under_test.start(session)
        found = (await under_test.sessions.find([credential, "session:00"]))[credential]
        assert (found.actor, found.permissions) == (session.actor, session.permissions)
        assert (found.name, found.parent) == (session.name, session.parent)
        assert (found.kind, found.credential) == ("session", credential)
        assert found.expires_at is not None
        left = found.expires_at - datetime.now(UTC)
        assert timedelta(days=6.9) < left <= timedelta(days=7, seconds=1)


async def test_the_cookie_lasts_as_long_as_the_session(under_test: UnderTest) -> None:
    week = await under_test.sessions.start(LOCAL, None)
    assert week.seconds == 7 * DAY
    soon = NewSession(
        actor="token:7",
        permissions=frozenset(),
        name=None,
        via="token",
        until=datetime.now(UTC) + timedelta(hours=1),
    )
    started = await under_test.sessions.start(soon, None)
    assert HOUR - 30 < started.seconds <= HOUR + 1
    assert await under_test.is_found(under_test.credential(started))
    await under_test.advance(HOUR + 1)
    assert not await under_test.is_found(under_test.credential(started))


async def test_a_session_ends_after_seven_days_even_if_it_is_used(under_test: UnderTest) -> None:
    credential = await under_test.start(LOCAL)
    for _ in range(14):
        assert await under_test.is_found(credential)
        await under_test.advance(DAY / 2 - 60)
        await under_test.sessions.used([credential])
    assert await under_test.is_found(credential)
    await under_test.advance(HOUR / 2)
    assert not await under_test.is_found(credential)


async def test_an_idle_session_ends_after_twelve_hours_and_does_not_come_back(
    under_test: UnderTest,
) -> None:
    used, idle = await under_test.start(LOCAL), await under_test.start(LOCAL)
    await under_test.advance(11 * HOUR)
    await under_test.sessions.used([used])
    assert set(await under_test.sessions.find([used, idle])) == {used, idle}
    await under_test.advance(2 * HOUR)
    assert set(await under_test.sessions.find([used, idle])) == {used}
    await under_test.sessions.used([idle])
    assert not await under_test.is_found(idle)
    assert [each.credential for each in await under_test.sessions.page(None, None, 9)] == [used]


async def test_a_new_session_ends_the_former_one_and_no_other(under_test: UnderTest) -> None:
    former, other = await under_test.start(LOCAL), await under_test.start(LOCAL)
    new = await under_test.start(LOCAL, former)
    assert set(await under_test.sessions.find([former, other, new])) == {other, new}


async def test_an_ended_session_is_not_found_and_may_be_ended_again(under_test: UnderTest) -> None:
    credential, other = await under_test.start(LOCAL), await under_test.start(LOCAL)
    for _ in range(2):
        await under_test.sessions.end(credential)
        assert set(await under_test.sessions.find([credential, other])) == {other}


async def test_a_list_has_the_newest_session_first_and_continues_after_a_page(
    under_test: UnderTest,
) -> None:
    mine = [await under_test.start(LOCAL) for _ in range(3)]
    others = await under_test.start(OF_TOKEN)
    first = await under_test.sessions.page("local:ada", None, 2)
    assert [each.credential for each in first] == mine[:0:-1]
    rest = await under_test.sessions.page("local:ada", first[-1].id, 2)
    assert [each.credential for each in rest] == mine[:1]
    everybody = await under_test.sessions.page(None, None, 9)
    assert [each.credential for each in everybody] == [others, *reversed(mine)]
    assert (everybody[0].actor, everybody[0].via, everybody[0].name) == ("token:7", "token", None)
    assert (first[0].actor, first[0].via, first[0].parent) == ("local:ada", "link", "token:00")
    assert first[0].created_at == first[0].last_seen_at < first[0].expires_at


async def test_one_session_is_ended_for_its_actor_or_for_an_administrator(
    under_test: UnderTest,
) -> None:
    first, second = await under_test.start(LOCAL), await under_test.start(LOCAL)
    listed = {each.credential: each.id for each in await under_test.sessions.page(None, None, 9)}
    assert await under_test.sessions.end_one(listed[first], "token:7") is None
    assert await under_test.is_found(first)
    assert await under_test.sessions.end_one(listed[first], "local:ada") == first
    assert await under_test.sessions.end_one(listed[first], "local:ada") is None
    assert await under_test.sessions.end_one(listed[second], None) == second
    assert await under_test.sessions.end_one(uuid7(), None) is None


async def test_the_last_use_is_noted(under_test: UnderTest) -> None:
    credential = await under_test.start(LOCAL)
    await under_test.advance(HOUR)
    await under_test.sessions.used([credential, "session:00"])
    (listed,) = await under_test.sessions.page(None, None, 9)
    assert timedelta(minutes=59) < listed.last_seen_at - listed.created_at < timedelta(minutes=61)


@pytest.mark.parametrize("session", [LOCAL, OF_TOKEN])
async def test_a_link_gives_its_session_once(under_test: UnderTest, session: NewSession) -> None:
    link = await under_test.links.make(session)
    redeemed = await under_test.links.redeem(link.code)
    assert redeemed is not None
    assert (redeemed.actor, redeemed.permissions) == (session.actor, session.permissions)
    assert (redeemed.name, redeemed.parent) == (session.name, session.parent)
    assert (redeemed.via, redeemed.by_fixed_token) == ("link", session.by_fixed_token)
    assert await under_test.links.redeem(link.code) is None


async def test_of_many_requests_at_once_one_gets_the_session_of_a_link(
    under_test: UnderTest,
) -> None:
    link = await under_test.links.make(LOCAL)
    redeemed = await asyncio.gather(*(under_test.links.redeem(link.code) for _ in range(10)))
    assert sum(each is not None for each in redeemed) == 1


async def test_a_link_is_valid_for_ten_minutes(under_test: UnderTest) -> None:
    first, second = await under_test.links.make(LOCAL), await under_test.links.make(LOCAL)
    left = first.expires_at - datetime.now(UTC)
    assert 590 < left.total_seconds() < 610
    await under_test.advance(9 * 60)
    assert await under_test.links.redeem(first.code) is not None
    await under_test.advance(70)
    assert await under_test.links.redeem(second.code) is None


async def test_a_link_ends_with_the_token_that_made_it(under_test: UnderTest) -> None:
    until = datetime.now(UTC) + timedelta(minutes=2)
    link = await under_test.links.make(
        NewSession(actor="local:a", permissions=frozenset(), name=None, via="link", until=until)
    )
    assert abs((link.expires_at - until).total_seconds()) < 0.001
    redeemed = await under_test.links.redeem(link.code)
    assert redeemed is not None
    assert redeemed.until == until


@pytest.mark.parametrize("secret", ["", "none", "\0", "ÿ", "x" * 10_000, "é" * 43])
async def test_what_is_no_secret_is_no_session_and_no_link(
    under_test: UnderTest, secret: str
) -> None:
    assert under_test.sessions.credential(secret) is None
    assert await under_test.links.redeem(secret) is None


async def test_no_two_secrets_are_the_same_and_no_text_shows_them(under_test: UnderTest) -> None:
    started = [await under_test.sessions.start(LOCAL, None) for _ in range(3)]
    links = [await under_test.links.make(LOCAL) for _ in range(3)]
    secrets = {*(each.secret for each in started), *(each.code for each in links)}
    assert len(secrets) == 6
    shown = repr([*started, *links, *await under_test.sessions.page(None, None, 9)])
    assert not any(secret in shown for secret in secrets)


async def test_the_tables_have_no_secret(database_url: str) -> None:
    async with Database.open(database_url) as database:
        started = await PostgresSessions(database, FIXED, uuid7).start(LOCAL, None)
        link = await PostgresSignInLinks(database, FIXED).make(LOCAL)
        rows = await database.rows("SELECT sessions::text FROM sessions")
        rows += await database.rows("SELECT signin_links::text FROM signin_links")
    for secret in (started.secret, link.code):
        assert secret not in str(rows)
        assert secret.encode().hex() not in str(rows)


async def test_another_token_in_the_settings_ends_what_the_former_one_started(
    database_url: str,
) -> None:
    async with Database.open(database_url) as database:
        before, after = (PostgresSessions(database, key, uuid7) for key in (FIXED, b"another"))
        by_token = before.credential((await before.start(OF_TOKEN, None)).secret)
        by_link = before.credential((await before.start(LOCAL, None)).secret)
        assert by_token is not None
        assert by_link is not None
        assert set(await before.find([by_token, by_link])) == {by_token, by_link}
        assert set(await after.find([by_token, by_link])) == {by_link}
        assert len(await after.page(None, None, 9)) == 1
        link = await PostgresSignInLinks(database, FIXED).make(OF_TOKEN)
        assert await PostgresSignInLinks(database, b"another").redeem(link.code) is None


async def test_a_server_that_cannot_be_reached_is_unavailable() -> None:
    async with Database.open("postgresql://127.0.0.1:1/none") as database:
        sessions: CredentialSource = PostgresSessions(database, FIXED, uuid7)
        with pytest.raises(Unavailable):
            await sessions.find(["session:00"])
        with pytest.raises(Unavailable):
            await PostgresSignInLinks(database, FIXED).redeem("any")
