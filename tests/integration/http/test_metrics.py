"""The figures over HTTP: who gets them, in which form, and that they name nobody."""

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

ELSEWHERE: Final = ("192.0.2.7", 4711)


@asynccontextmanager
async def client_at(
    directory: Directory, peer: tuple[str, int] | None, token: str | None = None
) -> AsyncGenerator[AsyncClient]:
    """A client whose connection comes from there; without a peer, from a socket without address."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    transport = ASGITransport(directory.app, client=peer, raise_app_exceptions=False)  # pyright: ignore[reportArgumentType]
    async with AsyncClient(
        transport=transport, base_url="http://rollbook", headers=headers
    ) as client:
        yield client


def measured(directory: Directory, telemetry: PrometheusTelemetry) -> Directory:
    directory.services = replace(directory.services, telemetry=telemetry)
    directory.app = create_app(directory.services)
    return directory


async def figures(directory: Directory) -> dict[str, float]:
    """Each figure by its name and labels, as they stand in the text."""
    async with directory.as_(None) as client:
        answer = await client.get("/metrics")
    assert answer.status_code == 200
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in parse_text(answer.text)
        for sample in family.samples
    }


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
async def test_on_the_same_machine_they_are_open(directory: Directory, host: str) -> None:
    async with client_at(directory, (host, 1)) as client:
        answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "rollbook_info{" in answer.text


@pytest.mark.parametrize("peer", [ELSEWHERE, ("2001:db8::7", 1), ("localhost", 1), None])
async def test_from_elsewhere_they_need_an_administrator(
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
    ["Forwarded", "Via", "X-Forwarded-For", "x-forwarded-host", "X-Forwarded-Proto", "X-Real-IP"],
)
async def test_what_came_through_a_proxy_on_the_same_machine_came_from_elsewhere(
    directory: Directory, name: str
) -> None:
    """Even where the proxy, or whoever made the header up, names this machine, or nobody."""
    for value in ("127.0.0.1", ""):
        async with directory.as_(None) as client:
            assert (await client.get("/metrics", headers={name: value})).status_code == 401
        async with directory.as_("admin") as client:
            assert (await client.get("/metrics", headers={name: value})).status_code == 200


async def test_head_has_no_body_and_other_methods_are_refused(directory: Directory) -> None:
    async with directory.as_(None) as client:
        head = await client.head("/metrics")
        posted = await client.post("/metrics")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["Content-Length"]) > 100
    assert (posted.status_code, posted.headers["Allow"]) == (405, "GET, HEAD")


async def test_openmetrics_is_written_for_who_asks_for_it(directory: Directory) -> None:
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
async def test_who_asks_for_anything_else_gets_text(directory: Directory, accept: str) -> None:
    async with directory.as_(None) as client:
        answer = await client.get("/metrics", headers={"Accept": accept})
    assert (answer.status_code, answer.headers["Content-Type"][:10]) == (200, "text/plain")


async def test_answers_are_counted_by_route_and_status_whoever_was_asked_for(
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
    found = await figures(directory)
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


async def test_what_is_away_is_left_out_and_the_rest_is_told(directory: Directory) -> None:
    async def away() -> Sequence[Reading]:
        raise Unavailable

    async def is_stuck() -> None:
        await asyncio.sleep(60)

    async def there() -> Sequence[Reading]:
        return [Reading(name="rollbook_a", help="A.", labels=("b",), values={("c",): 1.5})]

    async def is_there() -> None: ...

    telemetry = PrometheusTelemetry("9", [away, there], {"postgres": is_stuck, "redis": is_there})
    async with asyncio.timeout(3):
        with capture_logs() as logs:
            found = await figures(measured(directory, telemetry))
    assert found["rollbook_up[('dependency', 'postgres')]"] == 0
    assert found["rollbook_up[('dependency', 'redis')]"] == 1
    assert found["rollbook_a[('b', 'c')]"] == 1.5
    assert [entry["event"] for entry in logs] == ["metrics_left_out"]


async def test_scrapers_who_come_at_once_share_a_look_and_none_ends_that_of_the_others(
    directory: Directory,
) -> None:
    looks, go_on = list[int](), asyncio.Event()

    async def slow() -> Sequence[Reading]:
        looks.append(1)
        await go_on.wait()
        return [Reading(name="rollbook_looks", help="L.", values={(): len(looks)})]

    measured(directory, PrometheusTelemetry("9", [slow]))
    scrapes = [asyncio.ensure_future(figures(directory)) for _ in range(20)]
    await asyncio.sleep(0.05)
    scrapes.pop(0).cancel()
    await asyncio.sleep(0.01)
    go_on.set()
    found = await asyncio.gather(*scrapes)
    assert {each["rollbook_looks[]"] for each in found} == {1}
    assert (await figures(directory))["rollbook_looks[]"] == 2


async def test_each_application_has_figures_of_its_own(directory: Directory) -> None:
    other = Directory()
    async with other.as_(None) as client:
        await client.get("/health/live")
    assert not any("/health/live" in key for key in await figures(directory))
