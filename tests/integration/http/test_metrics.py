"""The metrics over HTTP: permissions, formats, and no personal data."""

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

import pytest
from httpx2 import ASGITransport, AsyncClient
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,  # pyright: ignore[reportUnknownVariableType]
)
from prometheus_client.parser import text_string_to_metric_families as parse_text
from structlog.testing import capture_logs

from application.errors import Unavailable
from application.metrics.telemetry import Reading
from infrastructure.telemetry.prometheus import PrometheusTelemetry
from interfaces.http.app import create_app
from tests.support.http.directory import Directory, registered

REMOTE: Final = ("192.0.2.7", 4711)


@asynccontextmanager
async def client_at(
    directory: Directory, peer: tuple[str, int] | None, token: str | None = None
) -> AsyncGenerator[AsyncClient]:
    """A client that connects from `peer`, or from a socket without an address if `peer` is None."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    transport = ASGITransport(directory.app, client=peer, raise_app_exceptions=False)  # pyright: ignore[reportArgumentType]
    async with AsyncClient(
        transport=transport, base_url="http://rollbook", headers=headers
    ) as client:
        yield client


def with_telemetry(directory: Directory, telemetry: PrometheusTelemetry) -> Directory:
    directory.services = replace(directory.services, telemetry=telemetry)
    directory.app = create_app(directory.services)
    return directory


async def samples(directory: Directory) -> dict[str, float]:
    """Each sample by its name and labels, as in the text format."""
    async with directory.as_(None) as client:
        answer = await client.get("/metrics")
    assert answer.status_code == 200
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in parse_text(answer.text)
        for sample in family.samples
    }


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
async def test_on_the_same_machine_metrics_need_no_token(directory: Directory, host: str) -> None:
    async with client_at(directory, (host, 1)) as client:
        answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "rollbook_info{" in answer.text


@pytest.mark.parametrize("peer", [REMOTE, ("2001:db8::7", 1), ("localhost", 1), None])
async def test_from_another_machine_metrics_need_an_administrator(
    directory: Directory, peer: tuple[str, int] | None
) -> None:
    found = list[int]()
    for token in (None, "wrong", "reader", "auditor", "writer", "admin"):
        async with client_at(directory, peer, token) as client:
            answer = await client.get("/metrics")
            found.append(answer.status_code)
            assert ("rollbook_info" in answer.text) == (answer.status_code == 200)
    assert found == [401, 401, 403, 403, 403, 200]


@pytest.mark.parametrize(
    "name",
    [
        "Forwarded",
        "Via",
        "X-Forwarded",
        "X-Forwarded-For",
        "x-forwarded-host",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Forwarded-Proto",
        "X-Forwarded-Server",
        "X-Original-Forwarded-For",
        "X-Original-URL",
        "X-ProxyUser-Ip",
        "X-Real-IP",
        "X-Client-IP",
        "X-Cluster-Client-IP",
        "X-Envoy-External-Address",
        "X-Azure-ClientIP",
        "X-Amzn-Trace-Id",
        "X-ARR-LOG-ID",
        "CF-Connecting-IP",
        "CDN-Loop",
        "Fastly-Client-IP",
        "Fly-Client-IP",
        "Front-End-Https",
        "True-Client-IP",
        "WL-Proxy-Client-IP",
    ],
)
async def test_a_request_through_a_local_proxy_counts_as_from_another_machine(
    directory: Directory, name: str
) -> None:
    """Even if the header, which any client can send, names this machine or is empty."""
    for value in ("127.0.0.1", ""):
        async with directory.as_(None) as client:
            assert (await client.get("/metrics", headers={name: value})).status_code == 401
        async with directory.as_("admin") as client:
            assert (await client.get("/metrics", headers={name: value})).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:8000", 200),
        ("localhost:8000", 200),
        ("LOCALHOST", 200),
        ("[::1]:8000", 200),
        ("rollbook.example.org", 200),
        ("rollbook.example.org:8443", 200),
        ("rebound.example.net", 401),
        ("rebound.example.net:8000", 401),
        ("localhost.example.net", 401),
        ("127.0.0.1.example.net", 401),
        ("127.0.0.1@example.net", 401),
        ("example.net#localhost", 401),
        ("192.0.2.7", 401),
        ("[::1", 401),
        ("", 401),
    ],
)
async def test_without_a_token_the_host_is_this_machine_or_the_public_one(
    directory: Directory, host: str, status: int
) -> None:
    """A page in a browser cannot reach the metrics under a name that leads to this machine."""
    directory.services = replace(directory.services, public_url="https://rollbook.example.org")
    directory.app = create_app(directory.services)
    async with directory.as_(None) as client:
        assert (await client.get("/metrics", headers={"Host": host})).status_code == status
    async with directory.as_("admin") as client:
        assert (await client.get("/metrics", headers={"Host": host})).status_code == 200


async def test_what_scrapers_and_browsers_send_by_themselves_changes_nothing(
    directory: Directory,
) -> None:
    headers = {
        "User-Agent": "Prometheus/3.5.0",
        "Accept": "application/openmetrics-text;version=1.0.0;q=0.6,*/*;q=0.1",
        "X-Prometheus-Scrape-Timeout-Seconds": "10",
        "Sec-Fetch-Mode": "navigate",
        "Upgrade-Insecure-Requests": "1",
        "Cookie": "theme=dark",
        "X-Request-ID": "scrape-1",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    async with directory.as_(None) as client:
        assert (await client.get("/metrics", headers=headers)).status_code == 200


async def test_head_has_no_body_and_other_methods_are_refused(directory: Directory) -> None:
    async with directory.as_(None) as client:
        head = await client.head("/metrics")
        posted = await client.post("/metrics")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["Content-Length"]) > 100
    assert (posted.status_code, posted.headers["Allow"]) == (405, "GET, HEAD")


async def test_openmetrics_is_sent_if_the_accept_header_requests_it(directory: Directory) -> None:
    async with directory.as_(None) as client:
        answer = await client.get(
            "/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0,*/*;q=0.1"}
        )
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")
    assert [each.name for each in parse_openmetrics(answer.text)]


@pytest.mark.parametrize(
    "accept", ["", "*/*", "application/json", ";;,=\x7f", "text/plain;version=x;escaping=y"]
)
async def test_any_other_accept_header_gets_text(directory: Directory, accept: str) -> None:
    async with directory.as_(None) as client:
        answer = await client.get("/metrics", headers={"Accept": accept})
    assert (answer.status_code, answer.headers["Content-Type"][:10]) == (200, "text/plain")


async def test_answers_are_counted_by_route_and_status_without_personal_data(
    directory: Directory,
) -> None:
    async with directory.as_("admin") as client:
        ada = await registered(client)
        for path in (ada["id"], ada["id"], ada["id"].replace("-", "")):
            await client.get(f"/v1/users/{path}", params={"Lovelace": "1"} if "-" in path else {})
        await client.head(f"/v1/users/{ada['id']}")
        await client.get("/Lovelace/ada@example.org")
        await client.request("LOVELACE", "/v1/users")
        await client.get("/v1/users", params={"q": "Lovelace"})
        text = (await client.get("/metrics")).text
    assert not re.search(f"(?i)lovelace|example.org|{ada['id']}", text)
    found = await samples(directory)
    counted = {
        key.partition("[")[2].rstrip("]"): value
        for key, value in found.items()
        if key.startswith("rollbook_http_requests_total")
    }
    assert counted == {
        "('method', 'POST'), ('route', '/v1/users'), ('status', '201')": 1,
        "('method', 'GET'), ('route', '/v1/users/{user_id}'), ('status', '422')": 2,
        "('method', 'GET'), ('route', '/v1/users/{user_id}'), ('status', '404')": 1,
        "('method', 'HEAD'), ('route', '/v1/users/{user_id}'), ('status', '200')": 1,
        "('method', 'GET'), ('route', 'none'), ('status', '404')": 1,
        "('method', 'other'), ('route', '/v1/users'), ('status', '405')": 1,
        "('method', 'GET'), ('route', '/v1/users'), ('status', '200')": 1,
        "('method', 'GET'), ('route', '/metrics'), ('status', '200')": 1,
    }
    durations = [key for key in found if key.startswith("rollbook_http_request_duration_seconds_s")]
    assert len(durations) == 7


async def test_unavailable_sources_are_left_out_and_the_rest_is_shown(directory: Directory) -> None:
    async def unavailable() -> Sequence[Reading]:
        raise Unavailable

    async def hangs() -> None:
        await asyncio.sleep(60)

    async def available() -> Sequence[Reading]:
        return [Reading(name="rollbook_a", help="A.", labels=("b",), values={("c",): 1.5})]

    async def is_up() -> None: ...

    telemetry = PrometheusTelemetry(
        "9", [unavailable, available], {"postgres": hangs, "redis": is_up}
    )
    async with asyncio.timeout(3):
        with capture_logs() as logs:
            found = await samples(with_telemetry(directory, telemetry))
    assert found["rollbook_up[('dependency', 'postgres')]"] == 0
    assert found["rollbook_up[('dependency', 'redis')]"] == 1
    assert found["rollbook_a[('b', 'c')]"] == 1.5
    assert [entry["event"] for entry in logs] == ["metrics_left_out"]


async def test_concurrent_scrapes_share_one_reading_and_a_cancelled_one_ends_no_other(
    directory: Directory,
) -> None:
    readings, may_continue = list[int](), asyncio.Event()

    async def slow_source() -> Sequence[Reading]:
        readings.append(1)
        await may_continue.wait()
        return [Reading(name="rollbook_looks", help="L.", values={(): len(readings)})]

    with_telemetry(directory, PrometheusTelemetry("9", [slow_source]))
    scrapes = [asyncio.ensure_future(samples(directory)) for _ in range(20)]
    await asyncio.sleep(0.05)
    scrapes.pop(0).cancel()
    await asyncio.sleep(0.01)
    may_continue.set()
    found = await asyncio.gather(*scrapes)
    assert {each["rollbook_looks[]"] for each in found} == {1}
    assert (await samples(directory))["rollbook_looks[]"] == 2


async def test_each_application_has_its_own_metrics(directory: Directory) -> None:
    other = Directory()
    async with other.as_(None) as client:
        await client.get("/health/live")
    assert not any("/health/live" in key for key in await samples(directory))
