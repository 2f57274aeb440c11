"""Signing in to the console through a real issuer."""

import json
from collections.abc import Generator
from typing import Any, Final

import pytest
from oidc_provider_mock import User  # pyright: ignore[reportMissingTypeStubs]
from werkzeug.wrappers import Response

from tests.support.oidc.browser import LOGIN_COOKIE, browser, come_back, sent_back, signed_in
from tests.support.oidc.directory import Clock, trusting
from tests.support.oidc.issuer import (
    AUTHORIZE,
    CLIENT_ID,
    CLIENT_SECRET,
    DISCOVERY,
    JWKS,
    TOKENS,
    Answer,
    TestIssuer,
    new_key,
)

ADA: Final = User(sub="ada", claims={"name": "Ada Lovelace", "groups": ["reader"]})


@pytest.fixture(scope="module")
def issuer() -> Generator[TestIssuer]:
    with TestIssuer.running(ADA) as issuer:
        yield issuer


async def test_a_person_signs_in_and_is_known_by_the_cookie(issuer: TestIssuer) -> None:
    async with trusting(issuer) as directory, browser(directory) as client:
        done = await signed_in(client)
        assert (done.status_code, done.headers["Location"]) == (303, "/console/")
        assert done.headers["Cache-Control"] == "no-store"
        me = (await client.get("/v1/me")).json()
        assert (me["actor"], me["name"], me["preset"]) == ("user:ada", "Ada Lovelace", "reader")
        assert (await client.get("/v1/users")).status_code == 200
        assert (await client.get("/v1/audit")).status_code == 403
        assert LOGIN_COOKIE not in client.cookies, "the attempt has ended"


async def test_the_issuer_gets_a_challenge_a_nonce_and_the_registered_address(
    issuer: TestIssuer,
) -> None:
    async with trusting(issuer) as directory, browser(directory) as client:
        begun = await client.get("/auth/login")
        address = begun.headers["Location"]
        assert address.startswith(f"{issuer.url}/oauth2/authorize?")
        asked = issuer.asked_in(address)
        assert asked["client_id"] == CLIENT_ID
        assert asked["response_type"] == "code"
        assert asked["redirect_uri"] == "http://rollbook/auth/callback", "the public URL"
        assert asked["scope"] == "openid profile"
        assert asked["code_challenge_method"] == "S256"
        again = issuer.asked_in((await client.get("/auth/login")).headers["Location"])
        for secret in ("state", "nonce", "code_challenge"):
            assert len(asked[secret]) >= 43
            assert asked[secret] != again[secret]


@pytest.mark.parametrize(
    ("address", "secure"), [("http://127.0.0.1:8000", False), ("https://rollbook.example", True)]
)
async def test_the_cookies_are_for_this_browser_and_place_only(
    issuer: TestIssuer, address: str, secure: bool
) -> None:
    async with trusting(issuer) as directory, browser(directory, address) as client:
        begun = await client.get("/auth/login")
        cookie = begun.headers["Set-Cookie"].split("; ")
        assert {"HttpOnly", "SameSite=Lax", "Path=/auth/callback", "Max-Age=600"} <= set(cookie)
        assert ("Secure" in cookie) == secure
        attempt = cookie[0].partition("=")[2]
        asked = issuer.asked_in(begun.headers["Location"])
        assert not any(asked[secret] in attempt for secret in ("state", "nonce"))
        done = await come_back(client, await sent_back(begun))
        session, ended = done.headers.get_list("set-cookie")
        assert "SameSite=Strict" in session
        assert "Max-Age=0" in ended
        assert all(("Secure" in each) == secure for each in (session, ended))


async def test_the_code_is_exchanged_with_the_verifier_and_the_secret(issuer: TestIssuer) -> None:
    """The issuer checks both: see `TestIssuer`."""
    async with trusting(issuer) as directory, browser(directory) as client:
        exchanged = issuer.requests[TOKENS]
        assert (await signed_in(client)).status_code == 303
        assert issuer.requests[TOKENS] == exchanged + 1


@pytest.mark.parametrize(
    ("secret", "methods", "sent"),
    [
        (None, ["client_secret_basic", "none"], {"client_id": CLIENT_ID}),
        (
            CLIENT_SECRET,
            ["client_secret_post"],
            {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET},
        ),
        (CLIENT_SECRET, ["client_secret_post", "client_secret_basic"], {}),
    ],
)
async def test_the_client_proves_itself_as_the_issuer_wants_it(
    issuer: TestIssuer, secret: str | None, methods: list[str], sent: dict[str, str]
) -> None:
    """A public client has no secret; the verifier of PKCE still proves that it began the sign-in."""
    document = {
        "issuer": issuer.url,
        "jwks_uri": f"{issuer.url}{JWKS}",
        "authorization_endpoint": f"{issuer.url}{AUTHORIZE}",
        "token_endpoint": f"{issuer.url}{TOKENS}",
        "token_endpoint_auth_methods_supported": methods,
    }
    with issuer.answering(DISCOVERY, lambda: Response(json.dumps(document))):
        async with trusting(issuer, client_secret=secret) as directory:
            async with browser(directory) as client:
                await signed_in(client)
    authorization, form = issuer.exchanges[-1]
    assert (authorization is None) == bool(sent)
    client_of = {name: form[name] for name in form if name.startswith("client_")}
    assert client_of == sent
    assert len(form["code_verifier"]) >= 43


async def test_each_sign_in_is_a_new_session_and_ends_the_former_one(issuer: TestIssuer) -> None:
    async with trusting(issuer) as directory, browser(directory) as client:
        await signed_in(client)
        first = client.cookies["rollbook_session"]
        back = await sent_back(await client.get("/auth/login"))
        # Its `Strict` keeps a browser from sending it to the callback.
        client.cookies.delete("rollbook_session")
        await come_back(client, back)
        assert (await client.get("/v1/me")).status_code == 200
        old = {"Cookie": f"rollbook_session={first}"}
        async with browser(directory) as other:
            assert (await other.get("/v1/me", headers=old)).status_code == 401


async def test_the_person_declines(issuer: TestIssuer) -> None:
    async with trusting(issuer) as directory, browser(directory) as client:
        asked = issuer.asked_in((await client.get("/auth/login")).headers["Location"])
        answer = await come_back(client, {"error": "access_denied", "state": asked["state"]})
        assert answer.status_code == 401
        assert "access_denied" not in answer.text
        assert LOGIN_COOKIE not in client.cookies


async def test_without_a_client_nobody_signs_in_through_the_issuer(issuer: TestIssuer) -> None:
    async with trusting(issuer, client_id=None) as directory, browser(directory) as client:
        for path in ("/auth/login", "/auth/callback?state=a&code=b"):
            answer = await client.get(path)
            assert (answer.status_code, "Set-Cookie" in answer.headers) == (404, False)
        assert (await client.get("/auth/methods")).json()["oidc"] is False
    async with trusting(issuer) as directory, browser(directory) as client:
        assert (await client.get("/auth/methods")).json()["oidc"] is True


async def test_while_the_issuer_is_away_sign_in_gets_a_503_and_sessions_go_on(
    clock: Clock,
) -> None:
    with TestIssuer.running(ADA) as issuer:
        async with trusting(issuer, clock=clock) as directory, browser(directory) as client:
            await signed_in(client)
            back = await sent_back(await client.get("/auth/login"))
            issuer.stop()
            away = await come_back(client, back)
            assert (away.status_code, "OIDC issuer" in away.text) == (503, True)
            assert (await client.get("/v1/me")).status_code == 200
            issuer.start()
            assert (await come_back(client, back)).status_code == 303, "the page can be reloaded"
        issuer.stop()
        async with trusting(issuer, clock=clock) as directory, browser(directory) as client:
            assert (await client.get("/auth/login")).status_code == 503


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (lambda: Response("<html>"), 503),
        (lambda: Response("[]"), 503),
        (lambda: Response('{"id_token": "x"}', status=500), 503),
        (lambda: Response('{"expires_in": "soon", "id_token": "x"}'), 503),
        (lambda: Response(b"{" + b" " * 300_000 + b"}"), 503),
        (lambda: Response(status=302, headers={"Location": "http://127.0.0.1:1/"}), 503),
        (lambda: Response('{"access_token": "x", "token_type": "Bearer"}'), 401),
        (lambda: Response('{"id_token": "eyJ.x.y"}'), 401),
        (lambda: Response('{"id_token": 7}'), 401),
        (lambda: Response('{"error": "<script>", "error_description": "x"}', status=400), 401),
    ],
)
async def test_a_wrong_answer_to_the_code_starts_no_session(
    issuer: TestIssuer, answer: Answer, status: int
) -> None:
    async with trusting(issuer) as directory, browser(directory) as client:
        back = await sent_back(await client.get("/auth/login"))
        with issuer.answering(TOKENS, answer):
            refused = await come_back(client, back)
        assert refused.status_code == status
        assert "rollbook_session" not in client.cookies
        assert "script" not in refused.text


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({}, 303),
        ({"nonce": "of another sign-in"}, 401),
        ({"nonce": None}, 401),
        ({"aud": "another-client"}, 401),
        ({"azp": "another-client"}, 401),
        ({"iss": "https://elsewhere.example"}, 401),
        ({"exp": 1}, 401),
        ({"sub": "not a subject"}, 401),
    ],
)
async def test_the_id_token_must_belong_to_this_sign_in(
    issuer: TestIssuer, changed: dict[str, Any], status: int
) -> None:
    async with trusting(issuer) as directory, browser(directory) as client:
        begun = await client.get("/auth/login")
        nonce = issuer.asked_in(begun.headers["Location"])["nonce"]
        claims: dict[str, Any] = {"aud": CLIENT_ID, "nonce": nonce, **changed}
        token = issuer.token(**claims)
        back = await sent_back(begun)
        with issuer.answering(TOKENS, lambda: Response(f'{{"id_token": "{token}"}}')):
            assert (await come_back(client, back)).status_code == status


async def test_the_id_token_must_be_signed_by_the_issuer(issuer: TestIssuer) -> None:
    async with trusting(issuer) as directory, browser(directory) as client:
        begun = await client.get("/auth/login")
        nonce = issuer.asked_in(begun.headers["Location"])["nonce"]
        forged = issuer.token(new_key("first"), aud=CLIENT_ID, nonce=nonce)
        back = await sent_back(begun)
        with issuer.answering(TOKENS, lambda: Response(f'{{"id_token": "{forged}"}}')):
            assert (await come_back(client, back)).status_code == 401


async def test_an_issuer_without_the_code_flow_is_a_503(issuer: TestIssuer) -> None:
    bare = f'{{"issuer": "{issuer.url}", "jwks_uri": "{issuer.url}/jwks"}}'
    with issuer.answering(DISCOVERY, lambda: Response(bare)):
        async with trusting(issuer) as directory, browser(directory) as client:
            assert (await client.get("/auth/login")).status_code == 503
