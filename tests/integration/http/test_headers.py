"""Headers that all requests and answers share."""

import pytest
from httpx2 import AsyncClient

from tests.support.http.directory import ADA, Directory, registered

EVERYWHERE = ["/v1/me", "/v1/nothing", "/nothing", "/docs", "/problems/internal", "/health/live"]


@pytest.mark.parametrize("path", EVERYWHERE)
async def test_every_answer_has_version_request_id_and_security_headers(
    admin: AsyncClient, path: str
) -> None:
    answer = await admin.get(path)
    assert answer.headers["Rollbook-Version"] == "1.2.3"
    assert answer.headers["X-Request-ID"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert len(answer.headers.get_list("Content-Security-Policy")) == 1


@pytest.mark.parametrize("path", ["/v1/me", "/v1/nothing", "/v1/users"])
async def test_answers_of_the_api_are_private(admin: AsyncClient, path: str) -> None:
    answer = await admin.get(path)
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert "Authorization" in answer.headers.get_list("Vary")


@pytest.mark.parametrize("path", EVERYWHERE)
async def test_head_answers_as_get_without_a_body(admin: AsyncClient, path: str) -> None:
    get, head = await admin.get(path), await admin.head(path)
    assert head.content == b""
    assert head.status_code == get.status_code
    for name in ("Content-Type", "Content-Length"):
        assert head.headers[name] == get.headers[name]


async def test_a_request_id_is_echoed_and_becomes_the_correlation_id(admin: AsyncClient) -> None:
    answer = await admin.post("/v1/users", json=ADA, headers={"X-Request-ID": "import-7/3"})
    assert answer.headers["X-Request-ID"] == "import-7/3"
    events = (await admin.get("/v1/events")).json()["items"]
    assert events[0]["correlationid"] == "import-7/3"


@pytest.mark.parametrize("sent", ["", "x" * 129, "two words", "ümlaut"])
async def test_a_request_id_that_breaks_the_rules_is_replaced(
    admin: AsyncClient, sent: str
) -> None:
    answer = await admin.get("/v1/me", headers={b"X-Request-ID": sent.encode()})
    assert answer.status_code == 200
    assert len(answer.headers["X-Request-ID"]) == 36


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer ", "Basic YTpi", "admin", "Bearer\tadmin"]
)
async def test_without_a_token_the_answer_is_a_challenge(
    anonymous: AsyncClient, authorization: str
) -> None:
    answer = await anonymous.get("/v1/me", headers={"Authorization": authorization})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="rollbook"'


@pytest.mark.parametrize("token", ["unknown", "ädmin", "admin x"])
async def test_an_unknown_token_is_refused(anonymous: AsyncClient, token: str) -> None:
    headers = {b"Authorization": f"Bearer {token}".encode()}
    answer = await anonymous.get("/v1/me", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="rollbook", error="invalid_token"'


async def test_two_tokens_are_refused(admin: AsyncClient) -> None:
    twice = [("Authorization", "Bearer reader"), ("Authorization", "Bearer admin")]
    assert (await admin.get("/v1/me", headers=twice)).status_code == 401


async def test_the_scheme_may_be_written_in_any_case(anonymous: AsyncClient) -> None:
    answer = await anonymous.get("/v1/me", headers={"Authorization": "bEARER  admin"})
    assert answer.json()["actor"] == "token:admin"


@pytest.mark.parametrize(
    ("method", "path", "permission"),
    [
        ("GET", "/v1/users", "users:read"),
        ("POST", "/v1/users", "users:write"),
        ("DELETE", "/v1/users/018f0000-0000-7000-8000-000000000001", "users:write"),
        ("GET", "/v1/events", "events:read"),
        ("GET", "/v1/stats", "users:read"),
        ("GET", "/v1/projections", "events:read"),
    ],
)
async def test_a_missing_permission_is_named(
    directory: Directory, method: str, path: str, permission: str
) -> None:
    async with directory.as_("nobody") as client:
        answer = await client.request(method, path)
    assert answer.status_code == 403
    assert answer.json()["permission"] == permission


async def test_every_actor_may_read_its_own_permissions(reader: AsyncClient) -> None:
    assert (await reader.get("/v1/me")).json() == {
        "actor": "token:reader",
        "name": None,
        "kind": "token",
        "permissions": ["users:read", "events:read"],
        "preset": "reader",
        "expires_at": None,
    }


async def test_on_behalf_of_is_recorded(writer: AsyncClient) -> None:
    headers = {"Rollbook-On-Behalf-Of": "user:42"}
    assert (await writer.post("/v1/users", json=ADA, headers=headers)).status_code == 201
    event = (await writer.get("/v1/events")).json()["items"][0]
    assert (event["actor"], event["onbehalfof"]) == ("token:writer", "user:42")


@pytest.mark.parametrize("name", ["", "two words", "x" * 129])
async def test_on_behalf_of_must_be_visible_ascii(writer: AsyncClient, name: str) -> None:
    headers = {"Rollbook-On-Behalf-Of": name}
    answer = await writer.post("/v1/users", json=ADA, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "Rollbook-On-Behalf-Of"


async def test_on_behalf_of_needs_the_permission_to_write(reader: AsyncClient) -> None:
    answer = await reader.get("/v1/users", headers={"Rollbook-On-Behalf-Of": "user:42"})
    assert answer.status_code == 403
    assert answer.json()["permission"] == "users:write"


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("", 200),
        ("*/*", 200),
        ("application/*", 200),
        ("text/html, application/json;q=0.1", 200),
        ("application/json; charset=utf-8", 200),
        ("text/html", 406),
        ("application/json;q=0, */*", 406),
        ("application/*;q=0, */*", 406),
        ("application/problem+json", 406),
        ("nonsense;q=x", 406),
    ],
)
async def test_only_json_is_offered(admin: AsyncClient, accept: str, status: int) -> None:
    assert (await admin.get("/v1/me", headers={"Accept": accept})).status_code == status


async def test_lists_are_compressed_and_single_users_are_not(admin: AsyncClient) -> None:
    user = await registered(admin, attributes={"text": "x" * 5000})
    headers = {"Accept-Encoding": "br;q=1, gzip;q=0.5"}
    one = await admin.get(f"/v1/users/{user['id']}", headers=headers)
    many = await admin.get("/v1/users", headers=headers)
    assert "Content-Encoding" not in one.headers
    assert many.headers["Content-Encoding"] == "gzip"
    assert set(many.headers.get_list("Vary")) == {"Accept-Encoding", "Authorization"}
    assert many.json()["items"] == [user]
    plain = await admin.get("/v1/users", headers={"Accept-Encoding": "gzip;q=0, *"})
    assert "Content-Encoding" not in plain.headers


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/users", "GET, HEAD, POST"),
        ("/v1/users/018f0000-0000-7000-8000-000000000001", "DELETE, GET, HEAD, PATCH, PUT"),
        ("/v1/users/018f0000-0000-7000-8000-000000000001/suspend", "POST"),
        ("/docs", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_gets_the_allowed_ones(
    anonymous: AsyncClient, path: str, allowed: str
) -> None:
    answer = await anonymous.request("OPTIONS", path)
    assert answer.status_code == 405
    assert answer.headers["Allow"] == allowed
    assert answer.json()["type"] == "/problems/method-not-allowed"


@pytest.mark.parametrize("path", ["/v1/users/", "/v1", "/v1/users/x/y/z", "/docs/", "//v1/me"])
async def test_nothing_is_redirected(anonymous: AsyncClient, path: str) -> None:
    answer = await anonymous.get(path)
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")
