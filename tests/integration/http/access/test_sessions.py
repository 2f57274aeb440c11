"""The list of sessions, and their end: one's own, and for administrators those of everybody."""

from typing import Any, Final

import pytest
from httpx2 import AsyncClient

from tests.integration.http.access.test_signin import sent, signed_in
from tests.support.http.directory import Directory

SESSIONS: Final = "/v1/sessions"
NOBODYS: Final = "019a8f2e-6c1b-7d3a-9f00-2b1c4d5e6f70"


async def listed(client: AsyncClient, cookie: str | None = None) -> list[dict[str, Any]]:
    answer = await client.get(SESSIONS, headers={} if cookie is None else sent(cookie))
    assert answer.status_code == 200, answer.text
    assert answer.json().keys() == {"items", "next_cursor", "position"}
    return answer.json()["items"]


async def test_a_caller_sees_its_own_sessions_the_newest_first(anonymous: AsyncClient) -> None:
    await signed_in(anonymous, {"token": "writer"})
    first = await signed_in(anonymous, {"token": "reader"})
    second = await signed_in(anonymous, {"token": "reader"})
    newest, oldest = await listed(anonymous, second)
    assert [newest["current"], oldest["current"]] == [True, False]
    assert [each["current"] for each in await listed(anonymous, first)] == [False, True]
    assert newest.keys() == {
        *("id", "actor", "name", "via", "created_at", "last_seen_at", "expires_at", "current")
    }
    assert {each["actor"] for each in (newest, oldest)} == {"token:reader"}
    assert {each["via"] for each in (newest, oldest)} == {"token"}


async def test_an_administrator_sees_the_sessions_of_everybody(
    admin: AsyncClient, anonymous: AsyncClient
) -> None:
    for token in ("reader", "writer"):
        await signed_in(anonymous, {"token": token})
    actors = [each["actor"] for each in await listed(admin)]
    assert actors == ["token:writer", "token:reader"]


async def test_the_list_has_pages(admin: AsyncClient, anonymous: AsyncClient) -> None:
    for _ in range(3):
        await signed_in(anonymous, {"token": "reader"})
    page = (await admin.get(SESSIONS, params={"limit": 2})).json()
    rest = await admin.get(SESSIONS, params={"limit": 2, "cursor": page["next_cursor"]})
    assert [len(page["items"]), len(rest.json()["items"])] == [2, 1]
    assert rest.json()["next_cursor"] is None


async def test_a_caller_ends_one_of_its_own_sessions_at_once(anonymous: AsyncClient) -> None:
    ending = await signed_in(anonymous, {"token": "reader"})
    cookie = await signed_in(anonymous, {"token": "reader"})
    assert (await anonymous.get("/v1/me", headers=sent(ending))).status_code == 200
    (other,) = [each["id"] for each in await listed(anonymous, cookie) if not each["current"]]
    answer = await anonymous.delete(f"{SESSIONS}/{other}", headers=sent(cookie))
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await anonymous.get("/v1/me", headers=sent(ending))).status_code == 401
    answer = await anonymous.delete(f"{SESSIONS}/{other}", headers=sent(cookie))
    assert answer.status_code == 404
    assert len(await listed(anonymous, cookie)) == 1


async def test_a_repeat_with_its_key_is_answered_as_the_first(
    admin: AsyncClient, anonymous: AsyncClient
) -> None:
    await signed_in(anonymous, {"token": "reader"})
    (session,) = await listed(admin)
    for is_replayed in (None, "true"):
        headers = {"Idempotency-Key": "end"}
        answer = await admin.delete(f"{SESSIONS}/{session['id']}", headers=headers)
        assert answer.status_code == 204
        assert answer.headers.get("Idempotency-Replayed") == is_replayed


async def test_nobody_else_ends_a_session_or_learns_of_it(
    directory: Directory, admin: AsyncClient, anonymous: AsyncClient
) -> None:
    cookie = await signed_in(anonymous, {"token": "admin"})
    (session,) = await listed(admin)
    async with directory.as_("writer") as writer:
        assert await listed(writer) == []
        foreign = await writer.delete(f"{SESSIONS}/{session['id']}")
        unknown = await writer.delete(f"{SESSIONS}/{NOBODYS}")
    assert (foreign.status_code, foreign.json()) == (404, unknown.json())
    assert (await anonymous.get("/v1/me", headers=sent(cookie))).status_code == 200


@pytest.mark.parametrize("session_id", [NOBODYS, "x", "me"])
async def test_an_unknown_session_is_not_found(admin: AsyncClient, session_id: str) -> None:
    assert (await admin.delete(f"{SESSIONS}/{session_id}")).status_code == 404


async def test_sessions_need_a_caller(anonymous: AsyncClient) -> None:
    assert (await anonymous.get(SESSIONS)).status_code == 401
    assert (await anonymous.delete(f"{SESSIONS}/{NOBODYS}")).status_code == 401
