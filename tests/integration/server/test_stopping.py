"""A request that a stopping server does not wait for any longer gets an answer."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from interfaces.cli.server import http_server
from tests.support.http.directory import ADA, Directory
from tests.support.http.streaming import served
from tests.support.http.wire import COMMON_HEADERS, request, wire_to

BODY = json.dumps(ADA)
SIZED = f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n"


@pytest.mark.parametrize(
    ("asked", "slug"),
    [
        (request("GET /v1/events"), "unavailable"),
        (request("POST /v1/users", SIZED, BODY), "outcome-unknown"),
    ],
)
async def test_a_request_without_an_answer_gets_a_problem(
    asked: str, slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = Directory()
    waits = waiting(entered := asyncio.Event())
    for method in ("append", "head", "read"):
        monkeypatch.setattr(directory.log, method, waits)
    monkeypatch.setattr(http_server, "DRAIN_SECONDS", 0)
    async with AsyncExitStack() as stack:
        async with served(directory.app) as url:
            wire = await stack.enter_async_context(wire_to(int(url.rpartition(":")[2])))
            await wire.send(asked)
            await entered.wait()
        answer = await wire.answer()
        assert (answer.status, answer.slug) == (503, slug)
        assert set(answer.headers) >= {*COMMON_HEADERS, "retry-after"}
        assert await wire.is_closed()


def waiting(entered: asyncio.Event) -> Callable[..., Awaitable[Any]]:
    async def wait(*_: object) -> None:
        entered.set()
        await asyncio.Event().wait()

    return wait
