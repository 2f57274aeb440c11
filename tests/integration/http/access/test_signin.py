"""Signing in and out over HTTP: links, tokens, cookies and the sessions that they start."""

from datetime import UTC, datetime
from typing import Any, Final

import pytest
from httpx2 import AsyncClient, Response

from application.access.ports import Presented
from application.identity import PRESETS, Principal
from tests.support.http.directory import ADA, Directory

SIGN_IN: Final = "/auth/signin"
SIGN_OUT: Final = "/auth/signout"
LINKS: Final = "/auth/links"
WEEK: Final = 7 * 24 * 3600


def cookie_of(answer: Response) -> str:
    """The value of the cookie that an answer sets."""
    (header,) = answer.headers.get_list("Set-Cookie")
    return header.partition(";")[0].removeprefix("rollbook_session=")


def attributes_of(answer: Response) -> set[str]:
    (header,) = answer.headers.get_list("Set-Cookie")
    return {part.strip() for part in header.split(";")[1:]}


def sent(cookie: str) -> dict[str, str]:
    return {"Cookie": f"rollbook_session={cookie}"}


async def link_of(admin: AsyncClient, **body: Any) -> str:
    """The code of a new link."""
    answer = await admin.post(LINKS, json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["url"].partition("#signin=")[2]


async def signed_in(client: AsyncClient, proof: dict[str, str], cookie: str | None = None) -> str:
    """The cookie of a new session."""
    headers = {} if cookie is None else sent(cookie)
    answer = await client.post(SIGN_IN, json=proof, headers=headers)
    assert answer.status_code == 204, answer.text
    return cookie_of(answer)


async def test_a_link_signs_a_person_in_by_name(admin: AsyncClient, anonymous: AsyncClient) -> None:
    answer = await admin.post(LINKS, json={"name": "ada"})
    assert answer.status_code == 201
    assert answer.json().keys() == {"url", "expires_at"}
    assert answer.headers["Cache-Control"] == "no-store"
    url, code = answer.json()["url"].split("#signin=")
    assert url == "http://rollbook/console/"
    left = datetime.fromisoformat(answer.json()["expires_at"]) - datetime.now(UTC)
    assert 590 < left.total_seconds() <= 600
    cookie = await signed_in(anonymous, {"code": code})
    me = (await anonymous.get("/v1/me", headers=sent(cookie))).json()
    expires_at = datetime.fromisoformat(me.pop("expires_at"))
    assert WEEK - 60 < (expires_at - datetime.now(UTC)).total_seconds() <= WEEK
    assert me == {
        "actor": "local:ada",
        "name": "ada",
        "kind": "session",
        "permissions": ["users:read", "users:write", "events:read", "audit:read", "admin"],
        "preset": "admin",
    }


async def test_a_link_works_once(admin: AsyncClient, anonymous: AsyncClient) -> None:
    code = await link_of(admin)
    await signed_in(anonymous, {"code": code})
    answer = await anonymous.post(SIGN_IN, json={"code": code})
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthenticated")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert "Set-Cookie" not in answer.headers
    assert code not in answer.text


ISSUED: Final = Principal(actor="token:7", permissions=PRESETS["admin"], name="Åsa's laptop")


async def test_a_link_has_the_name_of_its_token_by_default(
    directory: Directory, anonymous: AsyncClient
) -> None:
    directory.tokens.add("issued", ISSUED)
    async with directory.as_("issued") as client:
        cookie = await signed_in(anonymous, {"code": await link_of(client)})
    me = (await anonymous.get("/v1/me", headers=sent(cookie))).json()
    assert (me["actor"], me["name"]) == ("local:sa's-laptop", "sa's-laptop")


async def test_sessions_end_with_their_token(directory: Directory, anonymous: AsyncClient) -> None:
    directory.tokens.add("issued", ISSUED)
    async with directory.as_("issued") as client:
        late = await link_of(client)
        cookies = [
            await signed_in(anonymous, {"code": await link_of(client)}),
            await signed_in(anonymous, {"token": "issued"}),
        ]
    directory.tokens.revoke("issued")
    # The first request of each: nothing of it is known from before.
    for cookie in cookies:
        assert (await anonymous.get("/v1/me", headers=sent(cookie))).status_code == 401
    assert (await anonymous.post(SIGN_IN, json={"code": late})).status_code == 401


@pytest.mark.parametrize("name", ["", "a b", "a:b", "å", "x" * 65, 7, ["a"]])
async def test_a_link_with_an_invalid_name_is_refused(admin: AsyncClient, name: Any) -> None:
    answer = await admin.post(LINKS, json={"name": name})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/name"]


async def test_a_repeat_of_a_link_request_has_no_link(admin: AsyncClient) -> None:
    key = {"Idempotency-Key": "link"}
    first = await admin.post(LINKS, json={"name": "ada"}, headers=key)
    repeat = await admin.post(LINKS, json={"name": "ada"}, headers=key)
    assert repeat.status_code == 201
    assert repeat.headers["Idempotency-Replayed"] == "true"
    assert repeat.json() == {"url": None, "expires_at": first.json()["expires_at"]}


async def test_only_an_administrator_with_a_token_makes_links(
    directory: Directory, admin: AsyncClient, anonymous: AsyncClient
) -> None:
    assert (await anonymous.post(LINKS)).status_code == 401
    async with directory.as_("auditor") as auditor:
        answer = await auditor.post(LINKS)
        assert (answer.status_code, answer.json()["permission"]) == (403, "admin")
    cookie = await signed_in(anonymous, {"code": await link_of(admin)})
    answer = await anonymous.post(LINKS, headers=sent(cookie))
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/forbidden")
    assert "needs a token" in answer.json()["detail"]
    assert "permission" not in answer.json()


async def test_a_session_of_a_token_is_the_same_actor(
    directory: Directory, anonymous: AsyncClient
) -> None:
    cookie = await signed_in(anonymous, {"token": "writer"})
    me = (await anonymous.get("/v1/me", headers=sent(cookie))).json()
    assert (me["actor"], me["kind"], me["preset"]) == ("token:writer", "session", "writer")
    answer = await anonymous.post("/v1/users", json=ADA, headers=sent(cookie))
    assert answer.status_code == 201
    async with directory.as_("auditor") as auditor:
        audit = (await auditor.get("/v1/audit")).json()["items"]
    assert [item["actor"] for item in audit] == ["token:writer"]
    answer = await anonymous.get("/v1/jobs", headers=sent(cookie))
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"token": "no such token"}, 401),
        ({"token": ""}, 422),
        ({"code": ""}, 422),
        ({"code": "", "token": "admin"}, 422),
        ({"code": "x" * 43}, 401),
        ({}, 422),
        ({"code": "x", "token": "admin"}, 422),
        ({"code": None, "token": None}, 422),
        ({"code": 7}, 422),
        ({"token": "x" * 8193}, 422),
        ({"token": "admin", "name": "ada"}, 422),
    ],
)
async def test_a_sign_in_without_one_valid_proof_is_refused(
    anonymous: AsyncClient, body: dict[str, Any], status: int
) -> None:
    answer = await anonymous.post(SIGN_IN, json=body)
    assert answer.status_code == status
    assert "Set-Cookie" not in answer.headers


async def test_a_sign_in_needs_a_body_in_json(anonymous: AsyncClient) -> None:
    assert (await anonymous.post(SIGN_IN)).status_code == 400
    assert (await anonymous.post(SIGN_IN, content=b"token=admin")).status_code == 415
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await anonymous.post(SIGN_IN, content=b"a=b", headers=form)).status_code == 415


@pytest.mark.parametrize(
    ("host", "is_secure"),
    [
        ("rollbook.example.org", True),
        ("192.168.1.9:8000", True),
        ("127.0.0.1.example.org", True),
        ("localhost.example.org", True),
        ("127.0.0.1:8000", False),
        ("localhost:8000", False),
        ("LOCALHOST", False),
        ("rollbook.localhost", False),
        ("[::1]:8000", False),
        ("[::", True),
    ],
)
async def test_no_script_no_other_site_and_no_network_gets_the_cookie(
    anonymous: AsyncClient, host: str, is_secure: bool
) -> None:
    headers = {"Host": host}
    answer = await anonymous.post(SIGN_IN, json={"token": "reader"}, headers=headers)
    assert answer.headers["Cache-Control"] == "no-store"
    expected = {"Path=/", f"Max-Age={WEEK}", "HttpOnly", "SameSite=Strict"}
    secure = {"Secure"} if is_secure else set[str]()
    assert attributes_of(answer) == expected | secure
    removed = await anonymous.post(SIGN_OUT, headers=headers)
    assert cookie_of(removed) == ""
    assert attributes_of(removed) == {*expected, "Max-Age=0", *secure} - {f"Max-Age={WEEK}"}


async def test_a_sign_in_makes_a_new_session_and_ends_the_one_of_the_browser(
    admin: AsyncClient, anonymous: AsyncClient
) -> None:
    planted = await signed_in(anonymous, {"token": "reader"})
    own = await signed_in(anonymous, {"code": await link_of(admin)}, planted)
    assert own != planted
    assert (await anonymous.get("/v1/me", headers=sent(own))).status_code == 200
    answer = await anonymous.get("/v1/me", headers=sent(planted))
    assert answer.status_code == 401


async def test_a_cookie_that_the_server_did_not_make_is_never_a_session(
    anonymous: AsyncClient,
) -> None:
    planted = "A" * 43
    own = await signed_in(anonymous, {"token": "reader"}, planted)
    assert own != planted
    assert (await anonymous.get("/v1/me", headers=sent(planted))).status_code == 401


async def test_a_sign_out_ends_the_session_at_once(anonymous: AsyncClient) -> None:
    cookie = await signed_in(anonymous, {"token": "reader"})
    assert (await anonymous.get("/v1/me", headers=sent(cookie))).status_code == 200
    answer = await anonymous.post(SIGN_OUT, headers=sent(cookie))
    assert answer.status_code == 204
    assert (await anonymous.get("/v1/me", headers=sent(cookie))).status_code == 401
    assert (await anonymous.post(SIGN_OUT, headers=sent(cookie))).status_code == 204


async def test_a_sign_out_without_a_session_removes_the_cookie(anonymous: AsyncClient) -> None:
    for headers in ({}, sent("unknown"), sent("")):
        answer = await anonymous.post(SIGN_OUT, headers=headers)
        assert (answer.status_code, cookie_of(answer)) == (204, "")


async def test_the_methods_need_no_caller(anonymous: AsyncClient) -> None:
    answer = await anonymous.get("/auth/methods")
    assert (answer.status_code, answer.json()) == (200, {"oidc": False, "token": True})


async def test_a_request_with_a_token_is_judged_by_it_and_not_by_the_cookie(
    directory: Directory, anonymous: AsyncClient
) -> None:
    cookie = await signed_in(anonymous, {"token": "admin"})
    async with directory.as_("reader") as reader:
        me = (await reader.get("/v1/me", headers=sent(cookie))).json()
    assert (me["actor"], me["kind"]) == ("token:reader", "token")
    async with directory.as_("unknown") as unknown:
        assert (await unknown.get("/v1/me", headers=sent(cookie))).status_code == 401


async def test_the_secret_of_a_session_is_no_bearer_token(
    directory: Directory, anonymous: AsyncClient
) -> None:
    cookie = await signed_in(anonymous, {"token": "admin"})
    assert await directory.callers.of(Presented("session", cookie)) is not None
    assert await directory.callers.of(Presented("bearer", cookie)) is None
