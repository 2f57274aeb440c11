"""The OpenAPI description and its pages: complete, correct, and loaded from this server only."""

import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from typing import Any, Final, cast

import pytest
from httpx2 import AsyncClient

from interfaces.http.app import OPERATIONS
from tests.support.http.directory import ADA, Directory

CONTRACT = {
    ("POST", "/v1/webhooks"),
    ("GET", "/v1/webhooks"),
    ("GET", "/v1/webhooks/{webhook_id}"),
    ("PATCH", "/v1/webhooks/{webhook_id}"),
    ("DELETE", "/v1/webhooks/{webhook_id}"),
    ("POST", "/v1/webhooks/{webhook_id}/test"),
    ("POST", "/v1/webhooks/{webhook_id}/rotate-secret"),
    ("POST", "/v1/webhooks/{webhook_id}/pause"),
    ("POST", "/v1/webhooks/{webhook_id}/resume"),
    ("POST", "/v1/webhooks/{webhook_id}/replay"),
    ("GET", "/v1/webhooks/{webhook_id}/attempts"),
    ("GET", "/v1/webhooks/{webhook_id}/parked"),
    ("POST", "/v1/webhooks/{webhook_id}/parked/{user}/retry"),
    ("POST", "/v1/tokens"),
    ("GET", "/v1/tokens"),
    ("GET", "/v1/tokens/{token_id}"),
    ("DELETE", "/v1/tokens/{token_id}"),
    ("POST", "/v1/tokens/{token_id}/rotate"),
    ("POST", "/v1/users"),
    ("GET", "/v1/users"),
    ("GET", "/v1/users/{user_id}"),
    ("PUT", "/v1/users/{user_id}"),
    ("PATCH", "/v1/users/{user_id}"),
    ("DELETE", "/v1/users/{user_id}"),
    ("POST", "/v1/users/{user_id}/suspend"),
    ("POST", "/v1/users/{user_id}/reinstate"),
    ("POST", "/v1/users/{user_id}/restore"),
    ("POST", "/v1/users/{user_id}/erase"),
    ("GET", "/v1/users/{user_id}/history"),
    ("GET", "/v1/users/{user_id}/blame"),
    ("GET", "/v1/audit"),
    ("GET", "/v1/events"),
    ("GET", "/v1/events/{event_id}"),
    ("POST", "/v1/stream/tickets"),
    ("POST", "/v1/exports"),
    ("GET", "/v1/jobs"),
    ("GET", "/v1/jobs/{job_id}"),
    ("GET", "/v1/jobs/{job_id}/result"),
    ("POST", "/v1/jobs/{job_id}/cancel"),
    ("GET", "/v1/stats"),
    ("GET", "/v1/projections"),
    ("POST", "/v1/projections/{name}/rebuild"),
    ("POST", "/v1/projections/{name}/rollback"),
    ("POST", "/v1/projections/{name}/verify"),
    ("POST", "/v1/projections/{name}/pause"),
    ("POST", "/v1/projections/{name}/resume"),
    ("GET", "/v1/projections/{name}/views/{stream}"),
    ("GET", "/v1/projections/{name}/parked"),
    ("POST", "/v1/projections/{name}/parked/retry"),
    ("POST", "/v1/projections/{name}/parked/{stream}/retry"),
    ("POST", "/v1/projections/{name}/parked/{stream}/skip"),
    ("GET", "/v1/reactions"),
    ("POST", "/v1/reactions/{name}/enable"),
    ("POST", "/v1/reactions/{name}/disable"),
    ("GET", "/v1/reactions/{name}/parked"),
    ("POST", "/v1/reactions/{name}/parked/{user}/retry"),
    ("POST", "/v1/reactions/{name}/parked/{user}/skip"),
    ("GET", "/v1/relay"),
    ("GET", "/v1/relay/rejected"),
    ("POST", "/v1/relay/rejected/replay"),
    ("POST", "/v1/projections/{name}/parked/{stream}/unskip"),
    ("DELETE", "/v1/projections/{name}"),
    ("GET", "/v1/me"),
    ("GET", "/v1/sessions"),
    ("DELETE", "/v1/sessions/{session_id}"),
    ("POST", "/auth/links"),
    ("POST", "/auth/signin"),
    ("POST", "/auth/signout"),
    ("GET", "/auth/methods"),
    ("GET", "/auth/login"),
    ("GET", "/auth/callback"),
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/metrics"),
}

# What the operations outside /v1 need that are not open to everybody.
OUTSIDE_V1: Final[dict[str, list[dict[str, list[str]]]]] = {
    "/metrics": [{}, {"bearer": ["admin"]}, {"session": ["admin"]}],
    "/auth/links": [{"bearer": ["admin"]}],
}


@pytest.fixture
async def description(anonymous: AsyncClient) -> dict[str, Any]:
    answer = await anonymous.get("/openapi.json")
    assert answer.headers["Content-Type"] == "application/json"
    return answer.json()


def references(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        members = cast("dict[str, object]", node)
        if "$ref" in members:
            yield str(members["$ref"])
        for member in members.values():
            yield from references(member)
    elif isinstance(node, list):
        for element in cast("list[object]", node):
            yield from references(element)


def operations(description: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def test_the_description_has_every_operation_of_the_contract(description: dict[str, Any]) -> None:
    assert {(method, path) for method, path, _ in operations(description)} == CONTRACT
    assert len(OPERATIONS) == len(CONTRACT)


def test_every_reference_can_be_resolved(description: dict[str, Any]) -> None:
    for reference in set(references(description)):
        node = description
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_every_operation_lists_its_permissions_and_failures(
    description: dict[str, Any],
) -> None:
    for method, path, operation in operations(description):
        if not path.startswith("/v1/"):
            assert operation["security"] == OUTSIDE_V1.get(path, [])
            continue
        assert [set(scheme) for scheme in operation["security"]] == [{"bearer"}, {"session"}]
        assert operation["responses"].keys() >= {"401", "403", "422", "500"}
        assert ("requestBody" in operation) == (method != "GET")
        names = {parameter["name"] for parameter in operation["parameters"] if "name" in parameter}
        assert names >= set(re.findall(r"\{(\w+)\}", path))


def test_the_description_has_nothing_generated_by_fastapi(description: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in str(description)
    assert {operation["operationId"] for _, _, operation in operations(description)} == {
        operation.name for operation in OPERATIONS
    }


def references_of(description: dict[str, Any]) -> dict[str, set[str]]:
    """Which schemas each schema refers to."""
    return {
        name: {reference.rpartition("/")[2] for reference in references(schema)}
        for name, schema in description["components"]["schemas"].items()
    }


def test_no_schema_refers_to_itself_because_generators_of_clients_break_on_it(
    description: dict[str, Any],
) -> None:
    refers_to = references_of(description)
    # Throws if there is a cycle.
    TopologicalSorter(refers_to).prepare()


def schemas(node: object) -> Iterator[dict[str, Any]]:
    """All schemas within a schema."""
    if not isinstance(node, dict):
        return
    schema = cast("dict[str, Any]", node)
    yield schema
    for member in [*schema.get("properties", {}).values(), schema.get("items")]:
        yield from schemas(member)
    yield from schemas(schema.get("additionalProperties"))
    for variant in schema.get("anyOf", []):
        yield from schemas(variant)


def test_clients_may_leave_out_optional_members_and_find_any_member_of_an_open_object(
    description: dict[str, Any],
) -> None:
    for component in description["components"]["schemas"].values():
        for schema in schemas(component):
            assert "default" not in schema
            assert "type" in schema or "enum" not in schema
            if schema.get("type") == "object" and not schema.get("properties"):
                assert "additionalProperties" in schema, component


async def test_the_schema_of_a_user_has_the_members_of_a_user(
    admin: AsyncClient, description: dict[str, Any]
) -> None:
    user = (await admin.post("/v1/users", json=ADA)).json()
    schema = description["components"]["schemas"]["User"]
    assert schema["properties"].keys() == user.keys()
    assert set(schema["required"]) == user.keys()


@pytest.mark.parametrize("path", ["/docs", "/problems/internal"])
async def test_a_page_loads_nothing_from_elsewhere(anonymous: AsyncClient, path: str) -> None:
    page = await anonymous.get(path)
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert "http" not in page.text
    assert not re.search(r"<script(?! src=)|\son\w+=", page.text)
    for source in re.findall(r'(?:src|href)="(?!data:)([^"]+)"', page.text):
        assert (await anonymous.get(str(page.url.join(source)))).status_code == 200


async def test_the_assets_of_the_pages_have_the_right_types(anonymous: AsyncClient) -> None:
    init = await anonymous.get("/docs/init.js")
    bundle = await anonymous.get("/docs/swagger-ui-bundle.js", headers={"Accept-Encoding": "gzip"})
    style = await anonymous.get("/docs/swagger-ui.css")
    assert init.headers["Content-Type"].startswith("text/javascript")
    assert bundle.headers["Content-Encoding"] == "gzip"
    assert style.headers["Content-Type"].startswith("text/css")
    assert "SwaggerUIBundle" in bundle.text


async def test_the_pages_need_no_permission(directory: Directory) -> None:
    async with directory.as_("nobody") as client:
        for path in ("/docs", "/openapi.json", "/problems/conflict", "/health/live"):
            assert (await client.get(path)).status_code == 200
