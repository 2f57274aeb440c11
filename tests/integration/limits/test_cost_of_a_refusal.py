"""A refused request costs less than the cheapest one that is served."""

from time import process_time
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Scope

from application.access.limits import Limits
from application.identity import PRESETS, Principal
from tests.support.http.directory import Directory
from tests.support.http.peers import with_services

_TIMES = 500
_ROUNDS = 5


async def seconds(app: ASGIApp, token: str | None, path: str, expected: int) -> float:
    """The processor time of one request, without a server and a client."""
    authorization = [(b"authorization", f"Bearer {token}".encode())] if token else []
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"rollbook"), (b"accept", b"*/*"), *authorization],
        "client": ("192.0.2.1", 4711),
        "server": ("rollbook", 80),
    }
    statuses: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    for _ in range(50):
        await app(dict(scope), receive, send)
    found: list[float] = []
    for _ in range(_ROUNDS):
        statuses.clear()
        began = process_time()
        for _ in range(_TIMES):
            await app(dict(scope), receive, send)
        found.append((process_time() - began) / _TIMES)
        assert set(statuses) == {expected}
    return min(found)


@pytest.mark.alone
async def test_a_limited_request_costs_less_than_half_of_a_served_one() -> None:
    """`GET /v1/me` needs no store and no cache; every other route costs more."""

    def app(**limits: Any) -> ASGIApp:
        directory = with_services(Directory(), limits=Limits(**limits))
        directory.tokens.add("crm", Principal(actor="token:crm", permissions=PRESETS["reader"]))
        return directory.app

    served = await seconds(app(per_second=1_000_000), "crm", "/v1/me", 200)
    limited = app(per_second=1, clock=lambda: 0)
    for token in ("crm", "guess", None):
        assert await seconds(limited, token, "/v1/users/1", 429) < served / 2
