"""Raw bytes that no client library sends: the server answers with a problem and stays available."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Final

import pytest
from msgspec import Struct

from interfaces.cli.server import http_protocol
from tests.support.http.directory import ADA, Directory
from tests.support.http.streaming import served

WEBSOCKET: Final = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
H2C: Final = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
BODY: Final = json.dumps(ADA)


class Answer(Struct):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def slug(self) -> str:
        return json.loads(self.body)["type"].removeprefix("/problems/")


class Wire:
    """One connection that sends any bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: str | bytes) -> None:
        self._writer.write(data if isinstance(data, bytes) else data.encode("latin-1"))
        await self._writer.drain()

    async def answer(self) -> Answer:
        """The next answer; a final answer has a length."""
        async with asyncio.timeout(5):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            pairs = (line.partition(": ") for line in head[1:-2])
            headers = {name.lower(): value for name, _, value in pairs}
            body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(int(head[0].split()[1]), headers, body)

    async def is_closed(self) -> bool:
        """Whether the server closes the connection without sending more."""
        async with asyncio.timeout(5):
            try:
                return await self._reader.read() == b""
            except ConnectionResetError:
                return True


class Server(Struct):
    directory: Directory
    port: int

    @asynccontextmanager
    async def wire(self) -> AsyncGenerator[Wire]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Wire(reader, writer)
        finally:
            writer.close()

    async def answer_to(self, data: str | bytes) -> Answer:
        async with self.wire() as wire:
            await wire.send(data)
            return await wire.answer()


@pytest.fixture
async def server() -> AsyncGenerator[Server]:
    directory = Directory()
    async with served(directory.app) as url:
        yield Server(directory, int(url.rpartition(":")[2]))


def request(line: str, headers: str = "", body: str = "", token: str | None = "admin") -> str:
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    return f"{line} HTTP/1.1\r\nHost: x\r\n{authorization}{headers}\r\n{body}"


def registration(headers: str = "", body: str = BODY) -> str:
    sized = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}"
    return request("POST /v1/users", sized, body)


@pytest.mark.parametrize(
    "data",
    [
        "HELLO\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00",
        request("BREW /v1/users"),
        request("CONNECT x:80"),
        request("GET /v1/users/\xff"),
        request("GET /v1/users?q=\xff"),
        request("GET /v1/users?q=" + "x" * 70_000),
        request("GET /v1/me", "X-Request-ID: a\0b\r\n"),
        request("GET /v1/me", "X-Folded: a\r\n b\r\n"),
        request("GET /v1/me", "Host: y\r\n"),
        request("GET /v1/me", "X-Many: 1\r\n" * 300),
        "GET /v1/me HTTP/1.1\r\n\r\n",
        registration("Content-Length: 3\r\n"),
        registration("Transfer-Encoding: chunked\r\n"),
        request("POST /v1/users", "Content-Length: -2\r\n"),
        request("POST /v1/users", "Content-Length: 99999999999999999999999\r\n"),
        request("POST /v1/users", "Transfer-Encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n"),
    ],
)
async def test_bytes_that_are_no_request_are_malformed(server: Server, data: str) -> None:
    async with server.wire() as wire:
        await wire.send(data)
        answer = await wire.answer()
        assert (answer.status, answer.slug) == (400, "malformed-request")
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["connection"] == "close"
        assert {"x-request-id", "rollbook-version", "x-content-type-options"} <= set(answer.headers)
        assert await wire.is_closed()
    assert await server.directory.log.head() == 0


async def test_broken_bytes_after_a_request_do_not_change_its_answer(server: Server) -> None:
    async with server.wire() as wire:
        await wire.send(registration() + "HELLO\r\n\r\n")
        assert (await wire.answer()).status == 201
        assert await wire.is_closed()
    async with server.wire() as wire:
        broken = request("POST /v1/users", "Transfer-Encoding: chunked\r\n", "zz\r\n")
        await wire.send(request("GET /v1/users") + request("GET /v1/me") + broken)
        assert [(await wire.answer()).status for _ in range(2)] == [200, 200]
        assert await wire.is_closed()


async def test_an_endless_head_is_cut_off(server: Server) -> None:
    async with server.wire() as wire:
        await wire.send("GET /v1/me HTTP/1.1\r\nX-Long: ")
        sent = 0
        with suppress(ConnectionError):
            while sent < 10_000_000:
                await wire.send("x" * 16_384)
                sent += 16_384
        assert sent < 10_000_000


async def test_a_client_that_stops_sending_is_disconnected(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "TIMEOUT_SECONDS", 0.3)
    async with server.wire() as silent, server.wire() as head, server.wire() as body:
        await head.send("GET /v1/me HTTP/1.1\r\n")
        await body.send(registration()[:-1])
        assert await silent.is_closed()
        assert (await head.answer()).slug == "malformed-request"
        assert (await body.answer()).slug == "malformed-request"
        assert await head.is_closed()
        assert await body.is_closed()


async def test_a_slow_body_is_accepted_while_bytes_arrive(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "TIMEOUT_SECONDS", 0.2)
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
