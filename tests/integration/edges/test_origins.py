"""Pages in browsers: CORS for allowed origins, and WebSockets of pages."""

from collections.abc import AsyncGenerator

import pytest
from httpx2 import AsyncClient
from httpx2 import Response as Answer
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response

from application.access.limits import Limits
from interfaces.http.protocol.origins import Origins
from tests.support.http.directory import Directory
from tests.support.http.peers import client_at, with_services
from tests.support.http.streaming import StreamingDirectory, served

ALLOWED, FOREIGN = "https://app.example.org", "https://evil.example.org"
ORIGINS = Origins([ALLOWED, "http://localhost:3000"], "https://rollbook.example.org")
PREFLIGHT = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "if-match"}


@pytest.fixture
def directory() -> Directory:
    return with_services(Directory(), origins=ORIGINS, limits=Limits())


@pytest.fixture
async def client(directory: Directory) -> AsyncGenerator[AsyncClient]:
    async with client_at(directory, "192.0.2.1") as client:
        yield client


def varies_by(answer: Answer, name: str) -> bool:
    return name in {part.strip() for part in answer.headers["Vary"].split(",")}


async def test_an_allowed_page_may_ask_what_it_may_send(client: AsyncClient) -> None:
    answer = await client.options("/v1/users/1", headers={"Origin": ALLOWED, **PREFLIGHT})
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == ALLOWED
    methods = answer.headers["Access-Control-Allow-Methods"].split(", ")
    assert methods == ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
    allowed = {name.lower() for name in answer.headers["Access-Control-Allow-Headers"].split(", ")}
    assert allowed == {
        "authorization",
        "content-type",
        "idempotency-key",
        "if-match",
        "if-none-match",
        "last-event-id",
        "rollbook-min-position",
        "rollbook-on-behalf-of",
        "x-request-id",
    }
    assert answer.headers["Access-Control-Max-Age"] == "7200"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert varies_by(answer, "Origin")
    assert answer.headers["Rollbook-Version"] == "1.2.3"
    assert answer.headers["X-Request-ID"]


@pytest.mark.parametrize(
    "origin", [FOREIGN, "null", "https://app.example.org.evil.org", "http://app.example.org", ""]
)
async def test_a_foreign_page_gets_a_plain_refusal(client: AsyncClient, origin: str) -> None:
    answer = await client.options("/v1/users", headers={"Origin": origin, **PREFLIGHT})
    assert (answer.status_code, answer.content) == (403, b"")
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_preflights_are_not_limited(client: AsyncClient) -> None:
    for _ in range(50):
        answer = await client.options("/v1/users", headers={"Origin": ALLOWED, **PREFLIGHT})
        assert answer.status_code == 204


async def test_every_kind_of_answer_may_be_read_by_an_allowed_page(client: AsyncClient) -> None:
    found: dict[int, str] = {}
    for method, path, token in (
        ("GET", "/v1/users", "reader"),
        ("GET", "/v1/users", None),
        ("POST", "/v1/users", "reader"),
        ("GET", "/v1/unknown", "reader"),
        ("PUT", "/v1/users", "reader"),
        ("POST", "/v1/users", "admin"),
        *[("GET", "/v1/users", None)] * 50,
    ):
        headers = {"Origin": ALLOWED, "Content-Type": "text/html"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        answer = await client.request(method, path, headers=headers, content=b"x")
        found[answer.status_code] = answer.headers["Access-Control-Allow-Origin"]
        exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
        assert {"ETag", "RateLimit", "Retry-After", "Rollbook-Position", "Location"} <= set(exposed)
        assert varies_by(answer, "Origin")
        assert varies_by(answer, "Authorization")
    assert set(found) == {200, 401, 403, 404, 405, 415, 429}
    assert set(found.values()) == {ALLOWED}


async def test_an_answer_after_an_error_of_the_server_may_be_read_too(directory: Directory) -> None:
    @directory.app.get("/v1/broken")
    async def broken() -> None:  # pyright: ignore[reportUnusedFunction]
        raise ZeroDivisionError

    async with client_at(directory, "192.0.2.1") as client:
        answer = await client.get("/v1/broken", headers={"Origin": ALLOWED})
    assert answer.status_code == 500
    assert answer.headers["Access-Control-Allow-Origin"] == ALLOWED


@pytest.mark.parametrize("headers", [{}, {"Origin": FOREIGN}])
async def test_other_answers_vary_by_origin_only(
    client: AsyncClient, headers: dict[str, str]
) -> None:
    answer = await client.get("/v1/users", headers=headers)
    assert varies_by(answer, "Origin")
    assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_options_without_a_preflight_is_no_method_as_before(client: AsyncClient) -> None:
    answer = await client.options("/v1/users", headers={"Origin": ALLOWED})
    assert answer.status_code == 405
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_without_allowed_origins_nothing_is_said_about_them() -> None:
    async with client_at(Directory(), "192.0.2.1") as client:
        answer = await client.options("/v1/users", headers={"Origin": ALLOWED, **PREFLIGHT})
        assert answer.status_code == 405
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert not varies_by(answer, "Origin")


async def test_every_answer_forbids_what_the_api_does_not_use(client: AsyncClient) -> None:
    answer = await client.get("/health/live")
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in answer.headers["Permissions-Policy"]


async def test_a_websocket_is_for_own_and_allowed_pages() -> None:
    directory = StreamingDirectory(services={"origins": ORIGINS})
    async with served(directory.app) as url:
        for origin in (None, url, ALLOWED, "https://rollbook.example.org"):
            async with _opening(url, origin):
                pass
        for origin in (FOREIGN, "null", "http://127.0.0.1", f"{url}0", "file://"):
            answer = await _refusal(url, origin)
            assert answer.status_code == 403
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert b"/problems/forbidden" in answer.body
            assert answer.headers["X-Request-ID"]


async def test_a_handshake_counts_as_a_request() -> None:
    directory = StreamingDirectory(services={"limits": Limits(clock=lambda: 0)})
    async with served(directory.app) as url:
        for _ in range(40):
            async with _opening(url):
                pass
        answer = await _refusal(url)
        assert answer.status_code == 429
        assert answer.headers["Retry-After"] == "1"
        assert b"/problems/rate-limited" in answer.body


def _opening(url: str, origin: str | None = None) -> connect:
    headers = {"Origin": origin} if origin else {}
    address = f"{url.replace('http', 'ws', 1)}/v1/stream"
    return connect(address, additional_headers=headers, proxy=None)


async def _refusal(url: str, origin: str | None = None) -> Response:
    with pytest.raises(InvalidStatus) as refused:
        await _opening(url, origin)
    return refused.value.response
