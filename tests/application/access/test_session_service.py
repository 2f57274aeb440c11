"""Sessions begin with a token, a link or an OIDC user, and end with the token they came from."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from uuid_utils.compat import uuid7

from application.access.links import local_name_from, parse_local_name
from application.access.session_service import SessionService
from application.access.sessions import StartedSession
from application.identity import PRESETS, Principal
from domain.errors import InvalidValue
from tests.support.doubles.sessions import InMemorySessions, InMemorySignInLinks

NOW: Final = datetime(2026, 3, 1, 9, tzinfo=UTC)
WEEK: Final = timedelta(days=7)
TOKEN: Final = Principal(
    actor="token:7",
    permissions=PRESETS["admin"],
    name="deploy",
    credential="token:07",
    expires_at=NOW + timedelta(days=2),
)
FIXED: Final = Principal(actor="token:admin", permissions=PRESETS["admin"], name="admin")
OIDC: Final = Principal(
    actor="user:42",
    permissions=PRESETS["auditor"],
    name="Ada",
    kind="oidc",
    expires_at=NOW + timedelta(minutes=5),
)


class Tokens:
    """See `CredentialSource`: the tokens that have not been revoked."""

    def __init__(self) -> None:
        self.living = {"token:07": TOKEN}

    def credential(self, secret: str) -> str | None:
        return secret

    async def find(self, credentials: Collection[str]) -> Mapping[str, Principal]:
        return {each: self.living[each] for each in credentials if each in self.living}

    async def used(self, credentials: Collection[str]) -> None:
        raise AssertionError("a session is no use of its token")


class World:
    def __init__(self) -> None:
        self.store = InMemorySessions(lambda: NOW, uuid7)
        self.tokens = Tokens()
        links = InMemorySignInLinks(lambda: NOW, uuid7)
        self.service = SessionService(self.store, self.store, links, self.tokens)

    async def principal(self, started: StartedSession | None) -> Principal | None:
        assert started is not None
        credential = self.store.credential(started.secret)
        assert credential is not None
        return (await self.store.find([credential])).get(credential)


@pytest.fixture
def world() -> World:
    return World()


async def test_a_session_of_a_token_is_the_same_actor_and_ends_with_it(world: World) -> None:
    session = await world.principal(await world.service.start(TOKEN, former=None))
    assert session is not None
    assert (session.actor, session.name, session.kind) == ("token:7", "deploy", "session")
    assert (session.permissions, session.parent) == (TOKEN.permissions, "token:07")
    assert session.expires_at == TOKEN.expires_at


async def test_a_session_of_an_oidc_user_outlasts_the_id_token(world: World) -> None:
    session = await world.principal(await world.service.start(OIDC, former=None))
    assert session is not None
    assert (session.actor, session.name, session.kind) == ("user:42", "Ada", "session")
    assert (session.permissions, session.parent) == (OIDC.permissions, None)
    assert session.expires_at == NOW + WEEK


async def test_a_link_signs_in_by_name_with_the_permissions_of_its_token(world: World) -> None:
    link = await world.service.link(TOKEN, "ada")
    session = await world.principal(await world.service.start_by_link(link.code, former=None))
    assert session is not None
    assert (session.actor, session.name) == ("local:ada", "ada")
    assert (session.permissions, session.parent) == (TOKEN.permissions, "token:07")
    assert session.expires_at == TOKEN.expires_at
    assert await world.service.start_by_link(link.code, former=None) is None


async def test_a_link_of_the_token_of_the_settings_has_no_parent(world: World) -> None:
    link = await world.service.link(FIXED, "ada")
    session = await world.principal(await world.service.start_by_link(link.code, former=None))
    assert session is not None
    assert (session.parent, session.expires_at) == (None, NOW + WEEK)


async def test_a_link_of_a_revoked_token_signs_nobody_in(world: World) -> None:
    link = await world.service.link(TOKEN, "ada")
    del world.tokens.living["token:07"]
    assert await world.service.start_by_link(link.code, former=None) is None
    assert (await world.service.page(None, before=None, limit=9)).items == []


async def test_a_sign_in_ends_the_session_that_the_browser_had(world: World) -> None:
    first = await world.service.start(TOKEN, former=None)
    link = await world.service.link(TOKEN, "ada")
    second = await world.service.start_by_link(link.code, former=first.secret)
    assert await world.principal(first) is None
    assert second is not None
    third = await world.service.start(OIDC, former=second.secret)
    assert await world.principal(second) is None
    assert await world.principal(third) is not None


async def test_a_former_cookie_that_is_no_secret_changes_nothing(world: World) -> None:
    first = await world.service.start(TOKEN, former=None)
    await world.service.start(TOKEN, former="not a secret")
    assert await world.principal(first) is not None
    assert await world.service.end("not a secret") is None


async def test_a_list_leaves_out_sessions_of_tokens_that_have_ended(world: World) -> None:
    await world.service.start(TOKEN, former=None)
    await world.service.start(OIDC, former=None)
    del world.tokens.living["token:07"]
    page = await world.service.page(None, before=None, limit=9)
    assert [each.actor for each in page.items] == ["user:42"]
    assert page.next is None


async def test_a_list_continues_until_every_session_was_shown(world: World) -> None:
    for _ in range(5):
        await world.service.start(OIDC, former=None)
    shown, before = list[str](), None
    while True:
        page = await world.service.page("user:42", before=before, limit=2)
        shown += [each.credential for each in page.items]
        if (before := page.next) is None:
            break
    assert len(shown) == len(set(shown)) == 5


@pytest.mark.parametrize("name", ["a", "ada", "ada@example.org", "A.B-c_d/e", "x" * 64, "!", "~"])
def test_a_name_of_visible_characters_is_kept(name: str) -> None:
    assert parse_local_name(name) == name
    assert name.strip("-") == local_name_from(name)


@pytest.mark.parametrize("name", ["", " ", "a b", "a:b", "å", "x" * 65, "a\n", "\0", "a\x7f"])
def test_other_names_are_refused_or_made_valid(name: str) -> None:
    with pytest.raises(InvalidValue):
        parse_local_name(name)
    assert parse_local_name(local_name_from(name))


def test_an_invalid_name_becomes_one_like_it() -> None:
    assert local_name_from("Åsa Öberg") == "sa-berg"
    assert local_name_from("DOMAIN: ada") == "DOMAIN-ada"
    assert local_name_from(None) == local_name_from("ÅÄÖ") == "console"
