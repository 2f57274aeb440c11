"""Every operation and stream admits the callers that the contract names, and refuses all others."""

import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final

import pytest
from httpx2 import ASGITransport, AsyncClient
from msgspec import Struct
from starlette.routing import Route
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from interfaces.http.app import OPERATIONS
from tests.support.access.callers import Caller, InMemoryJwts, every_caller, new_directory
from tests.support.access.contract import CONTRACT, OPEN_PAGES, STREAM, Refusal
from tests.support.access.requests import key_of, refusal_of, request_of
from tests.support.http.directory import Directory
from tests.support.http.streaming import StreamingDirectory, frame, served

REFUSED: Final = (401, 403)
READY: Final = 1
ELSEWHERE: Final = ("192.0.2.7", 4711)
OPERATION_NAMES: Final = {operation.name: operation for operation in OPERATIONS}


class World(Struct):
    """A directory, its callers, and a client on another machine that is nobody yet."""

    directory: Directory
    callers: list[Caller]
    client: AsyncClient


@pytest.fixture
async def world() -> AsyncGenerator[World]:
    directory, jwts = new_directory()
    transport = ASGITransport(directory.app, raise_app_exceptions=False, client=ELSEWHERE)
    async with AsyncClient(transport=transport, base_url="http://rollbook") as client:
        yield World(directory, await every_caller(directory, jwts), client)


def sent_by(caller: Caller) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in caller.headers.items()]


def test_the_contract_names_every_operation() -> None:
    assert {key_of(operation) for operation in OPERATIONS} <= CONTRACT.keys()


@pytest.mark.parametrize("name", OPERATION_NAMES)
async def test_an_operation_admits_the_callers_of_the_contract_and_no_others(
    world: World, name: str
) -> None:
    operation = OPERATION_NAMES[name]
    needed = CONTRACT[key_of(operation)]
    found, expected = dict[str, Refusal | None](), dict[str, Refusal | None]()
    for caller in world.callers:
        answer = await world.client.request(**request_of(operation), headers=sent_by(caller))
        found[caller.name] = refusal_of(answer)
        expected[caller.name] = needed.refusal(caller.principal)
        assert answer.status_code < 500 or name == "read_readiness", (caller.name, answer.text)
    assert found == expected


def test_every_page_without_an_operation_is_open_by_name(world: World) -> None:
    operations = {operation.path for operation in OPERATIONS}
    for route in world.directory.app.routes:
        assert isinstance(route, Route), "a stream has a test of its own"
        is_page = route.path in OPEN_PAGES or any(
            route.path.startswith(page) for page in OPEN_PAGES if page != "/"
        )
        assert route.path in operations or is_page, route.path


async def test_a_caller_on_the_same_machine_reads_metrics_without_a_token(world: World) -> None:
    transport = ASGITransport(world.directory.app, client=("127.0.0.1", 4711))
    async with AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as local:
        assert (await local.get("/metrics")).status_code == 200
    assert (await world.client.get("/metrics")).status_code == 401


@pytest.mark.parametrize("way", ["first message", "header"])
async def test_the_live_stream_admits_the_callers_of_the_contract_and_no_others(way: str) -> None:
    """A cookie names nobody here: the page of another site could send it."""
    jwts = InMemoryJwts()
    directory = StreamingDirectory(jwts=jwts, first_message_seconds=5)
    found, expected = dict[str, int](), dict[str, int]()
    async with served(directory.app) as url:
        for caller in await every_caller(directory, jwts):
            authorization = caller.headers.get("Authorization")
            if way == "header" and not (authorization and authorization.isascii()):
                continue
            refusal = STREAM.refusal(caller.principal if authorization else None)
            expected[caller.name] = READY if refusal is None else 4000 + refusal[0]
            found[caller.name] = await opened(url, authorization or "", way)
    assert found == expected
    assert {*found.values()} == {READY, 4401, 4403}


async def test_a_ticket_opens_one_stream_as_the_caller_that_asked_for_it() -> None:
    jwts = InMemoryJwts()
    directory = StreamingDirectory(jwts=jwts)
    async with served(directory.app) as url:
        for caller in await every_caller(directory, jwts):
            async with directory.as_(None) as client:
                answer = await client.post("/v1/stream/tickets", json={}, headers=sent_by(caller))
            if STREAM.refusal(caller.principal) is not None:
                assert answer.status_code in REFUSED
                continue
            ticket = answer.json()["ticket"]
            assert await code_of(url, {"ticket": ticket}) == READY
            assert await code_of(url, {"ticket": ticket}) == 4401


async def opened(url: str, authorization: str, way: str) -> int:
    """`READY`, or the code with which the server closes the stream."""
    if way == "first message":
        token = authorization.removeprefix("Bearer ")
        return await code_of(url, {"token": token} if token else {})
    return await code_of(url, None, {"Authorization": authorization})


async def code_of(url: str, first: Mapping[str, str] | None, headers: Any = None) -> int:
    address = f"{url.replace('http', 'ws', 1)}/v1/stream"
    async with connect(address, additional_headers=headers, proxy=None) as stream:
        if first is not None:
            await stream.send(json.dumps(first))
        try:
            return READY if (await frame(stream))["kind"] == "ready" else 0
        except ConnectionClosed as end:
            return end.rcvd.code if end.rcvd else 0
