"""Refused attempts in the metrics: by route, status and token, never by name."""

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from application.access.limits import Limits
from application.identity import PRESETS, Principal
from infrastructure.telemetry.prometheus import PrometheusTelemetry
from tests.support.http.directory import ADA, Directory, registered
from tests.support.http.peers import client_at, with_services

READER = Principal(actor="token:crm", permissions=PRESETS["reader"])


@pytest.fixture
def directory() -> Directory:
    return Directory()


async def refusals(directory: Directory) -> dict[tuple[str, str, str], float]:
    """The number of refused attempts by route, status and caller."""
    async with directory.as_("admin") as client:
        text = (await client.get("/metrics")).text
    return {
        (sample.labels["route"], sample.labels["status"], sample.labels["caller"]): sample.value
        for family in parse_text(text)
        for sample in family.samples
        if sample.name == "rollbook_http_refusals_total"
    }


async def test_each_refusal_counts_for_the_token_that_made_the_attempt(
    directory: Directory,
) -> None:
    async with directory.as_(None) as client:
        await client.get("/v1/users")
    async with directory.as_("wrong") as client:
        await client.get("/v1/users")
    async with directory.as_("reader") as client:
        await client.get("/v1/users")
        await client.post("/v1/users", json=ADA)
        await client.post("/v1/users", json=ADA)
    async with directory.as_("admin") as client:
        user = await registered(client)
        await client.post("/v1/users", json=ADA)
        await client.patch(f"/v1/users/{user['id']}", json={}, headers={"If-Match": '"7"'})
        await client.get("/v1/users/unknown")
    assert await refusals(directory) == {
        ("/v1/users", "401", "none"): 2,
        ("/v1/users", "403", "token:reader"): 2,
        ("/v1/users", "409", "token:admin"): 1,
        ("/v1/users/{user_id}", "412", "token:admin"): 1,
    }


async def test_people_are_counted_by_kind_and_never_by_name(directory: Directory) -> None:
    ada = Principal(actor="local:ada", permissions=frozenset(), kind="session")
    directory.tokens.add("ada-session", ada)
    async with directory.as_("ada-session") as client:
        await client.get("/v1/users")
    directory.services.telemetry.refused(
        "/v1/users",
        403,
        Principal(actor="user:ada@example.org", permissions=frozenset(), kind="oidc"),
    )
    assert await refusals(directory) == {
        ("/v1/users", "403", "session"): 1,
        ("/v1/users", "403", "oidc"): 1,
    }


async def test_a_limited_request_counts_without_a_route(directory: Directory) -> None:
    with_services(directory, limits=Limits(1, clock=lambda: 0))
    directory.tokens.add("crm", READER)
    async with client_at(directory, "192.0.2.1", "crm") as client:
        for _ in range(4):
            await client.get("/v1/users?q=ada")
    async with client_at(directory, "192.0.2.2") as client:
        for _ in range(3):
            await client.get("/v1/users/ada@example.org")
    found = await refusals(directory)
    assert found["none", "429", "token:crm"] == 1
    assert found["none", "429", "none"] == 1


async def test_the_series_of_tokens_are_bounded() -> None:
    telemetry = PrometheusTelemetry()
    for number in range(600):
        caller = Principal(actor=f"token:{number}", permissions=frozenset())
        for route in ("/v1/users", "/v1/events"):
            telemetry.refused(route, 403, caller)
    telemetry.refused("/v1/users", 401, None)
    lines = (await telemetry.exposition("")).body.decode().splitlines()
    series = [line for line in lines if line.startswith("rollbook_http_refusals_total")]
    assert sum('caller="token:' in line for line in series) == 1000
    assert sum(float(line.rpartition(" ")[2]) for line in series if '"other"' in line) == 200
    assert len(series) == 1003
