"""Callbacks that this browser did not ask for, and callbacks that try to take it elsewhere."""

import os
from collections.abc import Generator
from typing import Final
from urllib.parse import quote

import pytest
from oidc_provider_mock import User  # pyright: ignore[reportMissingTypeStubs]

from infrastructure.keys import AesTokenSealer
from tests.support.oidc.browser import LOGIN_COOKIE, browser, come_back, sent_back, signed_in
from tests.support.oidc.directory import trusting
from tests.support.oidc.issuer import TOKENS, TestIssuer

EVIL: Final = "https://evil.example/"


@pytest.fixture(scope="module")
def issuer() -> Generator[TestIssuer]:
    with TestIssuer.running(User(sub="ada"), User(sub="eve")) as issuer:
        yield issuer


async def test_the_answer_to_another_browser_starts_no_session(issuer: TestIssuer) -> None:
    """Otherwise a link would sign a person in as the attacker, whose account then gets the data."""
    async with trusting(issuer) as directory:
        async with browser(directory) as attacker, browser(directory) as victim:
            theirs = await sent_back(await attacker.get("/auth/login"), "eve")
            exchanged = issuer.requests[TOKENS]
            assert (await come_back(victim, theirs)).status_code == 400
            await victim.get("/auth/login")
            assert (await come_back(victim, theirs)).status_code == 400
            assert issuer.requests[TOKENS] == exchanged, "the code never left"
            assert "rollbook_session" not in victim.cookies


async def test_the_code_of_another_sign_in_is_refused(issuer: TestIssuer) -> None:
    async with trusting(issuer) as directory:
        async with browser(directory) as attacker, browser(directory) as victim:
            theirs = await sent_back(await attacker.get("/auth/login"), "eve")
            own = await sent_back(await victim.get("/auth/login"))
            mixed = await come_back(victim, {"state": own["state"], "code": theirs["code"]})
            assert mixed.status_code == 401
            assert "rollbook_session" not in victim.cookies


async def test_an_answer_counts_once(issuer: TestIssuer) -> None:
    async with trusting(issuer) as directory, browser(directory) as client:
        begun = await client.get("/auth/login")
        attempt, back = client.cookies[LOGIN_COOKIE], await sent_back(begun)
        assert (await come_back(client, back)).status_code == 303
        assert (await come_back(client, back)).status_code == 400, "the cookie is gone"
        async with browser(directory) as thief:
            thief.cookies.set(LOGIN_COOKIE, attempt)
            assert (await come_back(thief, back)).status_code == 401, "the code was used"
            assert "rollbook_session" not in thief.cookies


async def test_a_cookie_that_rollbook_did_not_seal_for_this_is_refused(
    issuer: TestIssuer,
) -> None:
    async with trusting(issuer) as directory, browser(directory) as client:
        begun = await client.get("/auth/login")
        good, back = client.cookies[LOGIN_COOKIE], await sent_back(begun)
        other = AesTokenSealer(os.urandom(32), "oidc-login").seal(b"{}")
        cursor = directory.services.cursors.seal(b"{}")
        for wrong in (
            "",
            "x",
            good[:-1],
            good + "A",
            good.swapcase(),
            other,
            cursor,
            "%00",
            "a" * 9000,
        ):
            headers = {"Cookie": f"{LOGIN_COOKIE}={wrong}"}
            async with browser(directory) as bare:
                answer = await bare.get("/auth/callback", params=back, headers=headers)
            assert answer.status_code == 400, wrong
        assert (await come_back(client, back)).status_code == 303, "nothing of it ended the attempt"


async def test_an_attempt_ends_after_ten_minutes(issuer: TestIssuer) -> None:
    now = [0.0]
    async with trusting(issuer, now_of_logins=lambda: now[0]) as directory:
        async with browser(directory) as client:
            back = await sent_back(await client.get("/auth/login"))
            now[0] = 601
            assert (await come_back(client, back)).status_code == 400


HOSTILE: Final = (
    "",
    "&&&=",
    "state=%ff",
    "state=a",
    "code=a",
    "state=&code=",
    "state=a&code=b&state=c",
    "state=a&code=b&code=c",
    "state=a&code=b&error=c",
    "state=a%00&code=b",
    "state=a%0d%0aSet-Cookie:%20rollbook_session=evil&code=b",
    "state=a&code=%0d%0aLocation:%20https://evil.example/",
    "state=é&code=ü",
    f"state=a&code=b&iss={quote(EVIL)}",
    f"state={quote(EVIL)}&code={quote(EVIL)}",
    f"state=a&error={quote(EVIL)}&error_uri={quote(EVIL)}&error_description=evil.example",
    f"state=a&code=b&next={quote(EVIL)}&redirect_uri={quote(EVIL)}&return_to=//evil.example",
    "state=" + "a" * 5000 + "&code=b",
    "&".join(f"p{number}=1" for number in range(60)),
)


@pytest.mark.parametrize("query", HOSTILE)
async def test_a_hostile_callback_is_refused_and_repeats_nothing(
    issuer: TestIssuer, query: str
) -> None:
    async with trusting(issuer) as directory, browser(directory) as client:
        await client.get("/auth/login")
        answer = await come_back(client, query)
        assert answer.status_code in (400, 401)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert "Location" not in answer.headers
        assert "rollbook_session" not in client.cookies
        shown = f"{answer.text} {dict(answer.headers)}"
        assert "evil" not in shown


@pytest.mark.parametrize("more", ["next", "redirect_uri", "return_to", "url", "RelayState"])
async def test_a_good_answer_leads_to_the_console_whatever_else_it_says(
    issuer: TestIssuer, more: str
) -> None:
    async with trusting(issuer) as directory, browser(directory) as client:
        begun = await client.get(f"/auth/login?{more}={quote(EVIL)}")
        assert "evil" not in begun.headers["Location"]
        done = await come_back(client, {**await sent_back(begun), more: EVIL, "session_state": "x"})
        assert (done.status_code, done.headers["Location"]) == (303, "/console/")


async def test_the_name_of_the_issuer_in_the_answer_must_be_right(issuer: TestIssuer) -> None:
    """RFC 9207: the answer of another issuer, mixed into this sign-in, is refused."""
    async with trusting(issuer) as directory, browser(directory) as client:
        for name, status in ((EVIL, 401), (issuer.url, 303)):
            back = await sent_back(await client.get("/auth/login"))
            assert (await come_back(client, {**back, "iss": name})).status_code == status


async def test_a_session_that_somebody_prepared_does_not_become_the_persons(
    issuer: TestIssuer,
) -> None:
    async with trusting(issuer) as directory:
        async with browser(directory) as attacker, browser(directory) as victim:
            await signed_in(attacker, "eve")
            planted = attacker.cookies["rollbook_session"]
            victim.cookies.set("rollbook_session", planted, domain="127.0.0.1")
            await signed_in(victim, "ada")
            assert victim.cookies["rollbook_session"] != planted
            me = (await attacker.get("/v1/me")).json()
            assert me.get("actor") != "user:ada"
