"""Headers of proxies: believed only from trusted ones, and read from their end."""

from ipaddress import ip_network
from typing import Any

import pytest
from httpx2 import AsyncClient
from starlette.types import Receive, Scope, Send

from application.access.limits import Limits
from interfaces.http.endpoint.proxies import TrustedProxies
from tests.support.http.directory import Directory
from tests.support.http.peers import client_at, with_services
from tests.support.http.streaming import served

PROXY, OTHER_PROXY, CLIENT, ELSEWHERE = "10.0.0.1", "10.0.0.2", "192.0.2.7", "198.51.100.9"
NETWORKS = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]
AS_SENT = (PROXY, "http", "rollbook")

Headers = list[tuple[str, str]]


async def as_seen(peer: str, headers: Headers, kind: str = "http") -> tuple[str, str, str]:
    """The address, the scheme and the host that the application sees."""
    seen: list[Scope] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    async def nothing(*_: Any) -> Any: ...

    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    scope: Scope = {
        "type": kind,
        "scheme": "http" if kind == "http" else "ws",
        "client": (peer, 4711),
        "headers": [(b"host", b"rollbook"), *raw],
    }
    await TrustedProxies(application, networks=NETWORKS)(scope, nothing, nothing)
    (found,) = seen
    hosts = [value.decode() for name, value in found["headers"] if name == b"host"]
    assert len(hosts) == 1
    return found["client"][0], found["scheme"], hosts[0]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([("X-Forwarded-For", CLIENT)], (CLIENT, "http", "rollbook")),
        ([("X-Forwarded-For", f"{CLIENT}:4711")], (CLIENT, "http", "rollbook")),
        ([("X-Forwarded-For", "2001:db8::7")], ("2001:db8::7", "http", "rollbook")),
        ([("X-Forwarded-For", "[2001:DB8::7]:4711")], ("2001:db8::7", "http", "rollbook")),
        ([("X-Forwarded-For", f"::ffff:{CLIENT}")], (CLIENT, "http", "rollbook")),
        ([("X-Forwarded-Proto", "https")], (PROXY, "https", "rollbook")),
        ([("X-Forwarded-Proto", "HTTPS")], (PROXY, "https", "rollbook")),
        ([("X-Forwarded-Host", "example.org:8443")], (PROXY, "http", "example.org:8443")),
        ([("X-Forwarded-Host", "[2001:db8::1]")], (PROXY, "http", "[2001:db8::1]")),
        (
            [("Forwarded", f'for={CLIENT};proto=https;host="example.org:8443";by=_secret')],
            (CLIENT, "https", "example.org:8443"),
        ),
        (
            [("Forwarded", 'For="[2001:db8::7]:4711"; Proto=https')],
            ("2001:db8::7", "https", "rollbook"),
        ),
        # Two proxies that are trusted.
        ([("X-Forwarded-For", f"{CLIENT}, {OTHER_PROXY}")], (CLIENT, "http", "rollbook")),
        (
            [("X-Forwarded-For", CLIENT), ("X-Forwarded-For", OTHER_PROXY)],
            (CLIENT, "http", "rollbook"),
        ),
        (
            [("Forwarded", f"for={CLIENT};proto=https, for={OTHER_PROXY};proto=http")],
            (CLIENT, "https", "rollbook"),
        ),
        # Only proxies: the first of them asks for itself.
        ([("X-Forwarded-For", "10.0.0.9, 10.0.0.8")], ("10.0.0.9", "http", "rollbook")),
        # Both kinds of headers, which agree.
        (
            [("Forwarded", f"for={CLIENT};proto=https"), ("X-Forwarded-For", CLIENT)],
            (CLIENT, "http", "rollbook"),
        ),
    ],
)
async def test_a_trusted_proxy_is_believed(
    headers: Headers, expected: tuple[str, str, str]
) -> None:
    assert await as_seen(PROXY, headers) == expected


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        # What the client sent itself stands before what the proxy added.
        ([("X-Forwarded-For", f"127.0.0.1, {CLIENT}")], CLIENT),
        ([("X-Forwarded-For", "127.0.0.1"), ("X-Forwarded-For", CLIENT)], CLIENT),
        ([("X-Forwarded-For", f"10.0.0.9, {CLIENT}, {OTHER_PROXY}")], CLIENT),
        ([("X-Forwarded-For", f'"; for=127.0.0.1, {CLIENT}')], CLIENT),
        ([("Forwarded", f"for=127.0.0.1, for={CLIENT}")], CLIENT),
        ([("Forwarded", 'for="[::1]", for=unknown'), ("Forwarded", f"for={CLIENT}")], CLIENT),
        ([("Forwarded", 'for="127.0.0.1'), ("Forwarded", f"for={CLIENT}")], CLIENT),
        # A header that the proxy does not write, but passes on.
        ([("Forwarded", "for=127.0.0.1"), ("X-Forwarded-For", CLIENT)], PROXY),
        ([("X-Forwarded-For", "127.0.0.1"), ("Forwarded", f"for={CLIENT}")], PROXY),
        # Malformed.
        ([("X-Forwarded-For", "")], PROXY),
        ([("X-Forwarded-For", "unknown")], PROXY),
        ([("X-Forwarded-For", f"{CLIENT},")], PROXY),
        ([("X-Forwarded-For", f"{CLIENT}, garbage")], PROXY),
        ([("X-Forwarded-For", f"garbage, {OTHER_PROXY}")], PROXY),
        ([("X-Forwarded-For", f"{CLIENT} {CLIENT}")], PROXY),
        ([("X-Forwarded-For", "192.0.2.007")], PROXY),
        ([("X-Forwarded-For", "localhost")], PROXY),
        ([("X-Forwarded-For", "fe80::1%eth0")], PROXY),
        ([("Forwarded", f'for="127.0.0.1, for={CLIENT}')], PROXY),
        ([("Forwarded", f"for={CLIENT};for=127.0.0.1")], PROXY),
        ([("Forwarded", f"for={CLIENT} proto=https")], PROXY),
        ([("Forwarded", "for=_hidden")], PROXY),
        ([("Forwarded", "proto=https")], PROXY),
        ([("Forwarded", "")], PROXY),
        ([("Forwarded", "for=2001:db8::7")], PROXY),
        ([("X-Forwarded-For", "10.0.0.9, " * 1000 + "x")], PROXY),
    ],
)
async def test_a_client_behind_a_trusted_proxy_cannot_choose_its_address(
    headers: Headers, address: str
) -> None:
    assert (await as_seen(PROXY, headers))[0] == address


@pytest.mark.parametrize(
    "headers",
    [
        [("X-Forwarded-Proto", "ftp")],
        [("X-Forwarded-Proto", "https, gopher")],
        [("X-Forwarded-Host", "example.org/path")],
        [("X-Forwarded-Host", "user@example.org")],
        [("X-Forwarded-Host", "")],
        [("X-Forwarded-Host", "example.org, ")],
        [("X-Forwarded-Port", "443")],
        [("X-Real-IP", CLIENT)],
        [("Forwarded", f"for={CLIENT}, for=x;proto=https;host=example.org")],
        [("Forwarded", "proto=https"), ("X-Forwarded-Proto", "http")],
    ],
)
async def test_malformed_and_other_headers_say_nothing(headers: Headers) -> None:
    assert await as_seen(PROXY, headers) == (PROXY, "http", "rollbook")


@pytest.mark.parametrize(
    "peer",
    [ELSEWHERE, "127.0.0.1", "2001:db8::1", "::ffff:198.51.100.9", "11.0.0.1", "10.0.0.1.example"],
)
@pytest.mark.parametrize(
    "headers",
    [
        [("X-Forwarded-For", CLIENT), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "evil")],
        [("X-Forwarded-For", f"{CLIENT}, {PROXY}")],
        [("Forwarded", f"for={CLIENT};proto=https;host=evil")],
    ],
)
async def test_anybody_else_is_not_believed(peer: str, headers: Headers) -> None:
    assert await as_seen(peer, headers) == (peer, "http", "rollbook")


@pytest.mark.parametrize("peer", [PROXY, f"::ffff:{PROXY}", "fd00::1"])
async def test_a_proxy_is_known_by_its_address_in_any_form(peer: str) -> None:
    assert (await as_seen(peer, [("X-Forwarded-For", CLIENT)]))[0] == CLIENT


async def test_a_websocket_through_https_is_secure_too() -> None:
    seen = await as_seen(PROXY, [("X-Forwarded-Proto", "https")], kind="websocket")
    assert seen == (PROXY, "wss", "rollbook")


@pytest.fixture
def directory() -> Directory:
    networks = [*NETWORKS, ip_network("127.0.0.1")]
    return with_services(Directory(), trusted_proxies=networks, limits=Limits(clock=lambda: 0))


async def test_each_client_behind_a_proxy_has_its_own_limit(directory: Directory) -> None:
    async with client_at(directory, PROXY) as client:

        async def refused(address: str) -> int:
            headers = {"X-Forwarded-For": address}
            answers = [await client.get("/v1/users", headers=headers) for _ in range(45)]
            return sum(answer.status_code == 429 for answer in answers)

        assert await refused(CLIENT) == 5
        assert await refused(ELSEWHERE) == 5


async def test_the_server_believes_no_proxy_by_itself() -> None:
    """A client on the same machine is none either."""
    directory = with_services(Directory(), limits=Limits(clock=lambda: 0))
    async with served(directory.app) as url, AsyncClient(base_url=url, trust_env=False) as client:
        found = [
            await client.get(
                "/v1/users",
                headers={"X-Forwarded-For": f"192.0.2.{number}", "X-Forwarded-Proto": "https"},
            )
            for number in range(42)
        ]
    assert [answer.status_code for answer in found] == [401] * 40 + [429] * 2
    assert not any("Strict-Transport-Security" in answer.headers for answer in found)


async def test_only_answers_over_https_say_that_the_browser_must_use_it(
    directory: Directory,
) -> None:
    async with client_at(directory, PROXY) as client:
        plain = await client.get("/health/live")
        secure = await client.get("/health/live", headers={"X-Forwarded-Proto": "https"})
    assert "Strict-Transport-Security" not in plain.headers
    assert secure.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"
    async with client_at(directory, ELSEWHERE) as client:
        spoofed = await client.get("/health/live", headers={"X-Forwarded-Proto": "https"})
    assert "Strict-Transport-Security" not in spoofed.headers
    async with client_at(directory, ELSEWHERE, base_url="https://rollbook") as client:
        direct = await client.get("/health/live")
    assert "Strict-Transport-Security" in direct.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": "localhost"},
        {"Forwarded": "for=127.0.0.1;host=localhost"},
        {"X-Forwarded-Host": "localhost"},
        {"X-Forwarded-For": ""},
    ],
)
async def test_metrics_stay_closed_for_requests_through_a_proxy(
    directory: Directory, headers: dict[str, str]
) -> None:
    for peer in ("127.0.0.1", PROXY, ELSEWHERE):
        async with client_at(directory, peer) as client:
            assert (await client.get("/metrics", headers=headers)).status_code == 401
    async with client_at(directory, "127.0.0.1", base_url="http://localhost") as client:
        assert (await client.get("/metrics")).status_code == 200
