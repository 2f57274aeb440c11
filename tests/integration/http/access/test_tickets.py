"""Tickets over HTTP: permissions, content and expiry."""

from datetime import UTC, datetime

import pytest
from httpx2 import AsyncClient

from application.errors import Unavailable
from application.identity import PRESETS, Principal
from tests.support.http.directory import Directory

TICKETS = "/v1/stream/tickets"


async def test_a_ticket_gives_the_principal_of_its_caller(
    directory: Directory, reader: AsyncClient
) -> None:
    answer = await reader.post(TICKETS)
    assert answer.status_code == 201
    assert answer.json().keys() == {"ticket", "expires_at"}
    remaining = datetime.fromisoformat(answer.json()["expires_at"]) - datetime.now(UTC)
    assert 28 < remaining.total_seconds() <= 30
    assert await directory.services.tickets.redeem(answer.json()["ticket"]) == Principal(
        actor="token:reader", permissions=PRESETS["reader"]
    )


async def test_a_ticket_request_takes_only_an_empty_object(reader: AsyncClient) -> None:
    assert (await reader.post(TICKETS, json={})).status_code == 201
    assert (await reader.post(TICKETS, json={"seconds": 60})).status_code == 422
    assert (await reader.post(f"{TICKETS}?seconds=60")).status_code == 422
    assert (await reader.post(TICKETS, content=b"x=1")).status_code == 415


async def test_a_ticket_needs_the_permission_to_read_events(
    directory: Directory, anonymous: AsyncClient
) -> None:
    assert (await anonymous.post(TICKETS)).status_code == 401
    async with directory.as_("nobody") as nobody:
        answer = await nobody.post(TICKETS)
    assert (answer.status_code, answer.json()["permission"]) == (403, "events:read")


async def test_an_unavailable_store_answers_503(
    directory: Directory, reader: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(_: Principal) -> None:
        raise Unavailable

    monkeypatch.setattr(directory.services.tickets, "issue", unavailable)
    assert (await reader.post(TICKETS)).status_code == 503


@pytest.mark.parametrize("path", [TICKETS, "/v1/stream"])
async def test_other_methods_are_refused(reader: AsyncClient, path: str) -> None:
    assert (await reader.get(path)).status_code in (404, 405)
