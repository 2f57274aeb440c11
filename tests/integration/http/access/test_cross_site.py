"""No page of another site can make a browser change anything with a person's session."""

from typing import Final

import pytest
from httpx2 import AsyncClient

from tests.integration.http.access.test_signin import SIGN_IN, SIGN_OUT, sent, signed_in
from tests.support.http.directory import ADA, Directory

# What a browser sends, and whether it comes from a page of this Rollbook. The client's requests have
# `Host: rollbook`, and the public URL of the directory is http://rollbook.
CASES: Final[list[tuple[dict[str, str], bool]]] = [
    ({}, True),
    ({"Sec-Fetch-Site": "same-origin"}, True),
    ({"Sec-Fetch-Site": "none"}, True),
    ({"Sec-Fetch-Site": "same-site"}, False),
    ({"Sec-Fetch-Site": "cross-site"}, False),
    ({"Sec-Fetch-Site": ""}, False),
    ({"Sec-Fetch-Site": "same-origin, same-origin"}, False),
    ({"Sec-Fetch-Site": "cross-site", "Origin": "http://rollbook"}, False),
    ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, True),
    ({"Origin": "http://rollbook"}, True),
    ({"Origin": "http://ROLLBOOK"}, True),
    ({"Origin": "https://rollbook"}, True),
    ({"Origin": "http://10.0.0.9:8000", "Host": "10.0.0.9:8000"}, True),
    ({"Origin": "http://rollbook", "Host": "10.0.0.9:8000"}, True),
    ({"Origin": "http://10.0.0.9:9000", "Host": "10.0.0.9:8000"}, False),
    ({"Origin": "http://rollbook:8001"}, False),
    ({"Origin": "http://rollbook.evil.example"}, False),
    ({"Origin": "http://evil.example/rollbook"}, False),
    ({"Origin": "http://rollbook@evil.example"}, False),
    ({"Origin": "null"}, False),
    ({"Origin": ""}, False),
    ({"Origin": "rollbook"}, False),
    ({"Origin": "//rollbook"}, False),
    ({"Origin": "file://rollbook"}, False),
    ({"Origin": "http://[rollbook"}, False),
    ({"Origin": "http://rollbook, http://evil.example"}, False),
    ({"Referer": "http://evil.example/"}, True),
]


@pytest.mark.parametrize(("headers", "is_own"), CASES)
async def test_a_change_with_a_session_comes_from_its_own_pages_only(
    anonymous: AsyncClient, headers: dict[str, str], is_own: bool
) -> None:
    cookie = await signed_in(anonymous, {"token": "admin"})
    answer = await anonymous.post("/v1/users", json=ADA, headers={**headers, **sent(cookie)})
    assert answer.status_code == (201 if is_own else 403)
    if not is_own:
        assert answer.json()["type"] == "/problems/forbidden"
        assert "another site" in answer.json()["detail"]


@pytest.mark.parametrize(("headers", "is_own"), CASES)
async def test_a_sign_in_and_a_sign_out_come_from_their_own_pages_only(
    anonymous: AsyncClient, headers: dict[str, str], is_own: bool
) -> None:
    answer = await anonymous.post(SIGN_IN, json={"token": "reader"}, headers=headers)
    assert answer.status_code == (204 if is_own else 403)
    assert ("Set-Cookie" in answer.headers) == is_own
    answer = await anonymous.post(SIGN_OUT, headers=headers)
    assert answer.status_code == (204 if is_own else 403)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_each_method_that_changes_something_is_checked(
    anonymous: AsyncClient, method: str
) -> None:
    cookie = await signed_in(anonymous, {"token": "admin"})
    headers = {"Sec-Fetch-Site": "cross-site", **sent(cookie)}
    path = "/v1/users/019a8f2e-6c1b-7d3a-9f00-2b1c4d5e6f70"
    path = f"{path}/suspend" if method == "POST" else path
    assert (await anonymous.request(method, path, headers=headers)).status_code == 403


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_reading_is_not_checked(anonymous: AsyncClient, method: str) -> None:
    cookie = await signed_in(anonymous, {"token": "admin"})
    headers = {"Sec-Fetch-Site": "cross-site", **sent(cookie)}
    assert (await anonymous.request(method, "/v1/users", headers=headers)).status_code == 200


async def test_a_request_with_a_token_may_come_from_any_page(
    directory: Directory, anonymous: AsyncClient
) -> None:
    cookie = await signed_in(anonymous, {"token": "reader"})
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://other.example"}
    async with directory.as_("admin") as admin:
        answer = await admin.post("/v1/users", json=ADA, headers={**headers, **sent(cookie)})
        assert answer.status_code == 201
        assert (await admin.post("/auth/links", headers=headers)).status_code == 201


async def test_an_unknown_session_is_unauthenticated_before_it_is_another_site(
    anonymous: AsyncClient,
) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", **sent("unknown")}
    assert (await anonymous.post("/v1/users", json=ADA, headers=headers)).status_code == 401
