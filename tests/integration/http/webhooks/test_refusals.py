"""Who may manage webhooks, what is not found, how many there may be, and what the document says."""

from typing import Any, Final

import pytest
from httpx2 import AsyncClient
from uuid_utils.compat import uuid7

from domain.webhook.claims import MAX_WEBHOOKS
from tests.support.http.webhooks import ALL, URL, create

COMMANDS: Final = {
    "POST test": {},
    "POST rotate-secret": {},
    "POST pause": {},
    "POST resume": {},
    "POST replay": {"after": 0},
}


async def test_the_document_names_the_headers_of_the_answers(admin: AsyncClient) -> None:
    paths = (await admin.get("/openapi.json")).json()["paths"]

    def headers(path: str, method: str, status: str) -> set[str]:
        return set(paths[path][method]["responses"][status]["headers"])

    assert {"ETag", "Location"} <= headers(ALL, "post", "201")
    one = f"{ALL}/{{webhook_id}}"
    for path, method in (
        (one, "get"),
        (one, "patch"),
        *((f"{one}/{name}", "post") for name in ("pause", "resume", "replay", "rotate-secret")),
    ):
        assert "ETag" in headers(path, method, "200"), path


async def test_a_deleted_webhook_is_not_found(admin: AsyncClient) -> None:
    webhook = await create(admin)
    path = f"{ALL}/{webhook['id']}"
    for _ in range(2):
        answer = await admin.delete(path)
        assert (answer.status_code, answer.headers["Rollbook-Position"]) == (204, "2")
    assert (await admin.get(ALL)).json()["items"] == []
    await assert_not_found(admin, path)


@pytest.mark.parametrize("webhook_id", ["019a8f2e-6c1b-7d3a-9f00-2b1c4d5e6f70", "mine"])
async def test_what_never_was_is_not_found(admin: AsyncClient, webhook_id: str) -> None:
    await assert_not_found(admin, f"{ALL}/{webhook_id}")
    assert (await admin.delete(f"{ALL}/{webhook_id}")).status_code == 404


async def assert_not_found(admin: AsyncClient, path: str) -> None:
    for suffix in ("", "/attempts", "/parked"):
        assert (await admin.get(path + suffix)).status_code == 404
    assert (await admin.patch(path, json={"personal": "open"})).status_code == 404
    assert (await admin.post(f"{path}/parked/{uuid7()}/retry")).status_code == 404
    for command, body in COMMANDS.items():
        method, name = command.split()
        assert (await admin.request(method, f"{path}/{name}", json=body)).status_code == 404, name


async def test_there_are_at_most_100(admin: AsyncClient) -> None:
    for _ in range(MAX_WEBHOOKS):
        await create(admin)
    answer = await admin.post(ALL, json={"url": URL})
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"pointer": "#", "detail": "There are 100 webhooks already; delete one first."}
    ]
    assert len((await admin.get(ALL)).json()["items"]) == MAX_WEBHOOKS


async def test_only_administrators_know_of_webhooks(
    admin: AsyncClient, writer: AsyncClient, anonymous: AsyncClient
) -> None:
    path = f"{ALL}/{(await create(admin))['id']}"
    calls: list[tuple[str, str, Any]] = [
        ("POST", ALL, {"url": URL}),
        ("GET", ALL, None),
        ("GET", path, None),
        ("PATCH", path, {}),
        ("DELETE", path, None),
        ("GET", f"{path}/attempts", None),
        ("GET", f"{path}/parked", None),
        ("POST", f"{path}/parked/{uuid7()}/retry", {}),
        *(("POST", f"{path}/{each.split()[1]}", body) for each, body in COMMANDS.items()),
    ]
    for method, each, body in calls:
        assert (await writer.request(method, each, json=body)).status_code == 403, each
        assert (await anonymous.request(method, each, json=body)).status_code == 401, each
    assert (await admin.get(path)).json()["version"] == 1
