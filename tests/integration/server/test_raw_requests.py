"""Raw bytes that no client library sends: the server answers with a problem and stays available."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import Final

import pytest
from msgspec import Struct

from interfaces.cli.server import deadline
from tests.support.http.directory import ADA, Directory
from tests.support.http.streaming import served
from tests.support.http.wire import WEBSOCKET, Answer, Wire, request, wire_to

H2C: Final = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
BODY: Final = json.dumps(ADA)
CHUNKED: Final = f"{len(BODY):x}\r\n{BODY}\r\n0\r\n\r\n"


class Server(Struct):
    directory: Directory
    port: int

    def wire(self) -> AbstractAsyncContextManager[Wire]:
        return wire_to(self.port)

    async def answer_to(self, data: str | bytes) -> Answer:
        async with self.wire() as wire:
            await wire.send(data)
            return await wire.answer()


@pytest.fixture
async def server() -> AsyncGenerator[Server]:
    directory = Directory()
    async with served(directory.app) as url:
        yield Server(directory, int(url.rpartition(":")[2]))


def registration(headers: str = "", body: str = BODY) -> str:
    sized = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}"
    return request("POST /v1/users", sized, body)


@pytest.mark.parametrize(
    "data",
    [
        "HELLO\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET /v1/me\r\n",
        "GET /v1/me HTTP/0.9\r\nHost: x\r\n\r\n",
        "GET /v1/me HTTP/2.0\r\nHost: x\r\n\r\n",
        "GET /v1/me RTSP/1.0\r\nHost: x\r\n\r\n",
        "GET /v1/me ICE/1.1\r\nHost: x\r\n\r\n",
        "GET /v1/me HTTP/1.1\nHost: x\n\n",
        "get /v1/me HTTP/1.1\r\nHost: x\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00",
        request("BREW /v1/users"),
        request("CONNECT x:80"),
        request("GET /v1/users/\xff"),
        request("GET /v1/users?q=\xff"),
        request("GET /v1/users?q=" + "x" * 70_000),
        request("GET /v1/users/" + "%41" * 700),
        request("GET /v1/me", "X-Request-ID: a\0b\r\n"),
        request("GET /v1/me", "X-Folded: a\r\n b\r\n"),
        request("GET /v1/me", "Host: y\r\n"),
        request("GET /v1/me", "X-Many: 1\r\n" * 300),
        "GET /v1/me HTTP/1.1\r\n\r\n",
        registration("Content-Length: 3\r\n"),
        registration("Transfer-Encoding: chunked\r\n"),
        request("POST /v1/users", "Content-Length: -2\r\n"),
        request("POST /v1/users", "Content-Length: 99999999999999999999999\r\n"),
        registration("Transfer-Encoding: gzip\r\n").replace("Content-Length", "X-Length"),
        request("POST /v1/users", "Transfer-Encoding: gzip, chunked\r\n", CHUNKED),
        request("POST /v1/users", "Transfer-Encoding: chunked, identity\r\n", CHUNKED),
        request("POST /v1/users", "Transfer-Encoding: chunked\r\n" * 2, CHUNKED),
        request("POST /v1/users", "Transfer-Encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n"),
        request("POST /v1/users", "Transfer-Encoding: chunked\r\n", "2\r\n{}}\r\n0\r\n\r\n"),
        request("POST /v1/users", "Transfer-Encoding: chunked\r\n", "2\n{}\n0\n\n"),
        request("POST /v1/users", "Transfer-Encoding: chunked\r\n", "-2\r\n{}\r\n0\r\n\r\n"),
    ],
)
async def test_bytes_that_are_no_request_are_malformed(server: Server, data: str) -> None:
    async with server.wire() as wire:
        await wire.send(data)
        answer = await wire.answer()
        assert answer.is_refusal, answer
        assert await wire.is_closed()
    assert await server.directory.log.head() == 0


async def test_broken_bytes_after_a_request_do_not_change_its_answer(server: Server) -> None:
    async with server.wire() as wire:
        await wire.send(registration() + "HELLO\r\n\r\n")
        assert [(await wire.answer()).status for _ in range(2)] == [201, 400]
        assert await wire.is_closed()
    async with server.wire() as wire:
        broken = request("POST /v1/users", "Transfer-Encoding: chunked\r\n", "zz\r\n")
        await wire.send(request("GET /v1/users") + request("GET /v1/me") + broken)
        assert [(await wire.answer()).status for _ in range(3)] == [200, 200, 400]
        assert await wire.is_closed()


async def test_an_endless_head_is_cut_off(server: Server) -> None:
    async with server.wire() as wire:
        await wire.send("GET /v1/me HTTP/1.1\r\nX-Long: ")
        assert await wire.send_until_closed(b"x" * 16_384, 10_000_000) < 10_000_000


async def test_a_client_that_stops_sending_is_disconnected(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for awaited in ("head", "piece"):
        monkeypatch.setitem(deadline.SECONDS, awaited, 0.3)
    async with server.wire() as silent, server.wire() as head, server.wire() as body:
        await head.send("GET /v1/me HTTP/1.1\r\n")
        await body.send(registration()[:-1])
        assert await silent.is_closed()
        assert (await head.answer()).is_refusal
        assert (await body.answer()).is_refusal
        assert await head.is_closed()
        assert await body.is_closed()


async def test_a_head_that_trickles_is_cut_off(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(deadline.SECONDS, "head", 0.3)
    async with server.wire() as wire, asyncio.TaskGroup() as tasks:
        trickle = tasks.create_task(trickled(wire, "GET / HTTP/1.1\r\nX-Slow: " + "x" * 1000))
        assert (await wire.answer()).is_refusal
        trickle.cancel()


async def trickled(wire: Wire, data: str) -> None:
    for character in data:
        await wire.send(character)
        await asyncio.sleep(0.02)


async def test_a_slow_body_is_accepted_while_bytes_arrive(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(deadline.SECONDS, "piece", 0.2)
    async with server.wire() as wire:
        await wire.send(registration("", "")[: -len("\r\n")].replace("th: 0", f"th: {len(BODY)}"))
        await wire.send("\r\n")
        for character in BODY:
            await wire.send(character)
            await asyncio.sleep(0.01)
        assert (await wire.answer()).status == 201


async def test_a_head_that_arrives_byte_by_byte_is_accepted(server: Server) -> None:
    async with server.wire() as wire:
        for character in registration():
            await wire.send(character)
            await asyncio.sleep(0)
        assert (await wire.answer()).status == 201


@pytest.mark.parametrize("in_one_piece", [True, False])
async def test_an_upgrade_to_http_2_is_ignored(server: Server, *, in_one_piece: bool) -> None:
    data = registration(H2C)
    async with server.wire() as wire:
        for part in [data] if in_one_piece else [data[: -len(BODY)], BODY[:9], BODY[9:]]:
            await wire.send(part)
            await asyncio.sleep(0.02)
        assert (await wire.answer()).status == 201
        await wire.send(request("GET /v1/me", H2C) + request("GET /v1/me"))
        assert [(await wire.answer()).status for _ in range(2)] == [200, 200]


async def test_a_post_request_cannot_open_a_websocket(server: Server) -> None:
    assert (await server.answer_to(registration(WEBSOCKET))).status == 201


async def test_a_websocket_can_be_opened_only_on_its_route(server: Server) -> None:
    answer = await server.answer_to(request("GET /v1/users", WEBSOCKET))
    assert (answer.status, answer.slug) == (404, "not-found")
    without_key = request("GET /v1/me", WEBSOCKET.replace("Sec-WebSocket-Key", "X-Key"))
    assert (await server.answer_to(without_key)).status == 200


async def test_100_continue_is_sent_only_if_the_body_is_needed(
    server: Server,
) -> None:
    expecting = registration("Expect: 100-continue\r\n")[: -len(BODY)]
    async with server.wire() as wire:
        await wire.send(expecting)
        assert (await wire.answer()).status == 100
        await wire.send(BODY)
        assert (await wire.answer()).status == 201
    refused = expecting.replace("Bearer admin", "Bearer nobody")
    assert (await server.answer_to(refused)).slug == "forbidden"


async def test_too_large_a_body_is_refused_before_it_arrives_and_then_discarded(
    server: Server,
) -> None:
    large = "x" * 10_000_000
    async with server.wire() as wire:
        await wire.send(registration("", large)[: -len(large)])
        assert (await wire.answer()).slug == "too-large"
        await wire.send(large + request("GET /v1/me"))
        assert (await wire.answer()).status == 200
