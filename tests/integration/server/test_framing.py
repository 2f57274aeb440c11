"""Where requests end: chunks, trailers, pipelines, and bodies that nobody waits for."""

import asyncio
import json
from collections.abc import AsyncGenerator
from time import monotonic
from typing import Final

import pytest
from msgspec import Struct

from interfaces.cli.server import deadline
from tests.support.http.directory import ADA, Directory
from tests.support.http.streaming import served
from tests.support.http.wire import WEBSOCKET, Answer, request, wire_to

BODY: Final = json.dumps(ADA).encode()
CHUNKED: Final = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
REGISTER: Final = request("POST /v1/users", CHUNKED)


class Server(Struct):
    directory: Directory
    port: int

    async def answer_to(self, data: str | bytes) -> Answer:
        async with wire_to(self.port) as wire:
            await wire.send(data)
            return await wire.answer()


@pytest.fixture
async def server() -> AsyncGenerator[Server]:
    directory = Directory()
    async with served(directory.app) as url:
        yield Server(directory, int(url.rpartition(":")[2]))


def chunks(data: bytes, size: int, extension: bytes = b"") -> bytes:
    """All chunks of the data but the last, empty one."""
    pieces = (data[at : at + size] for at in range(0, len(data), size))
    return b"".join(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in pieces)


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("extension", [b"", b";signature=0123456789abcdef", b' ; a="b"'])
async def test_a_body_in_chunks_is_read(server: Server, size: int, extension: bytes) -> None:
    body = chunks(BODY, size, extension) + b"0\r\n\r\n"
    async with wire_to(server.port) as wire:
        await wire.send(REGISTER.encode() + body + request("GET /v1/me").encode())
        assert [(await wire.answer()).status for _ in range(2)] == [201, 200]


async def test_a_body_in_chunks_may_arrive_byte_by_byte(server: Server) -> None:
    body = chunks(BODY, 5) + b"0\r\nX-Checksum: 1\r\n\r\n"
    async with wire_to(server.port) as wire:
        for byte in REGISTER.encode() + body:
            await wire.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await wire.answer()).status == 201


async def test_trailers_are_no_headers(server: Server) -> None:
    unsigned = request("POST /v1/users", CHUNKED, token=None)
    whole = chunks(BODY, 1000) + b"0\r\n"
    token = b"Authorization: Bearer admin\r\n\r\n"
    answer = await server.answer_to(unsigned.encode() + whole + token)
    assert answer.slug == "unauthenticated"
    trailer = b"Rollbook-On-Behalf-Of: eve\r\nX-Request-ID: trailed\r\nIdempotency-Key: k\r\n\r\n"
    for _ in range(2):
        answer = await server.answer_to(REGISTER.encode() + whole + trailer)
        assert answer.headers["x-request-id"] != "trailed"
    assert answer.slug == "email-taken", "the key of the trailer counted"
    (stored,) = (await server.directory.log.read(0, 10)).events
    assert stored.on_behalf_of is None


@pytest.mark.parametrize(
    "trailer", ["X-Many: 1\r\n" * 300, "X-Long: " + "x" * 70_000, "no field\r\n"]
)
async def test_a_trailer_has_the_limits_of_a_head(server: Server, trailer: str) -> None:
    data = REGISTER.encode() + chunks(BODY, 1000) + b"0\r\n" + trailer.encode() + b"\r\n"
    assert (await server.answer_to(data)).is_refusal
    assert await server.directory.log.head() == 0


@pytest.mark.parametrize(
    "endless",
    [
        b"0\r\n" + b"X: y\r\n" * 3000,
        b"0\r\nX: " + b"y" * 16_384,
        b"1;" + b"x" * 16_384,
        chunks(b"x" * 20, 1, b";" + b"x" * 1000),
    ],
)
async def test_endless_trailers_and_extensions_are_cut_off(server: Server, endless: bytes) -> None:
    async with wire_to(server.port) as wire:
        await wire.send(REGISTER)
        assert await wire.send_until_closed(endless, 10_000_000) < 10_000_000


async def test_small_chunks_leave_turns_to_others(server: Server) -> None:
    tiny = chunks(b" " * 20_000, 1)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    async with wire_to(server.port) as wire:
        await wire.send(REGISTER)
        for _ in range(5):
            await wire.send(tiny)
        await wire.send(chunks(BODY, 1000) + b"0\r\n\r\n")
        assert (await wire.answer()).status == 201
    counting.cancel()
    assert turns > 300


async def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    count = 300
    requests = [request("GET /v1/me", f"X-Request-ID: {n}\r\n") for n in range(count)]
    async with wire_to(server.port) as wire:
        await wire.send("".join(requests))
        ids = [(await wire.answer()).headers["x-request-id"] for _ in range(count)]
    assert ids == [str(n) for n in range(count)]


async def test_pipelined_commands_are_answered_in_order(server: Server) -> None:
    bodies = [json.dumps({"name": "Ada", "email": f"ada{n}@example.org"}) for n in range(40)]
    sized = "Content-Type: application/json\r\nContent-Length: {}\r\n"
    async with wire_to(server.port) as wire:
        for body in bodies:
            await wire.send(request("POST /v1/users", sized.format(len(body)), body))
        answers = [await wire.answer() for _ in bodies]
    assert [json.loads(answer.body)["email"] for answer in answers] == [
        json.loads(body)["email"] for body in bodies
    ]


async def test_a_body_may_not_trickle_after_its_answer(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(deadline.SECONDS, "rest", 0.5)
    for framing in ("Content-Length: 1000\r\n", "Transfer-Encoding: chunked\r\n"):
        async with wire_to(server.port) as wire:
            await wire.send(request("POST /v1/users", framing, token=None))
            assert (await wire.answer()).slug == "unauthenticated"
            began = monotonic()
            while monotonic() - began < 3:
                try:
                    await wire.send("1\r\nx\r\n")
                except ConnectionError:
                    break
                await asyncio.sleep(0.05)
            assert monotonic() - began < 2


async def test_a_connection_without_a_next_request_is_closed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(deadline.SECONDS, "request", 0.3)
    async with wire_to(server.port) as idle, wire_to(server.port) as refused:
        await idle.send(request("GET /v1/me"))
        assert (await idle.answer()).status == 200
        await refused.send(request("POST /v1/users", "Content-Length: 2\r\n", "{}", token=None))
        assert (await refused.answer()).status == 401
        assert await idle.is_closed(2)
        assert await refused.is_closed(2)


async def test_a_client_that_leaves_out_a_refused_body_is_not_misunderstood(
    server: Server,
) -> None:
    expecting = "Content-Length: 100\r\nExpect: 100-continue\r\n"
    async with wire_to(server.port) as wire:
        await wire.send(request("POST /v1/users", expecting, token=None))
        assert (await wire.answer()).status == 401
        assert await wire.is_closed()


async def test_the_answer_to_a_large_refused_head_arrives(server: Server) -> None:
    async with wire_to(server.port) as wire:
        await wire.send("GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + "x" * 250_000)
        await asyncio.sleep(0.1)
        assert (await wire.answer()).is_refusal


@pytest.mark.parametrize(
    "odd",
    [
        request("GET /v1/stream", WEBSOCKET + "Content-Length: 1\r\n"),
        request("GET /v1/stream", WEBSOCKET + "Content-Length: 1\r\n", "x"),
        request("GET /v1/stream", WEBSOCKET + "Transfer-Encoding: chunked\r\n"),
        request("GET /v1/stream", WEBSOCKET + "Transfer-Encoding: gzip\r\n"),
        request("GET /v1/stream", WEBSOCKET + "X-Many: 1\r\n" * 150),
        request("GET /v1/stream", WEBSOCKET + "X-Long: " + "x" * 9000 + "\r\n"),
        request("GET /v1/stream?" + "x" * 9000, WEBSOCKET),
        request("GET /v1/stream", WEBSOCKET, "\x81\x80\0\0\0\0"),
        request("GET /v1/stream", WEBSOCKET.replace("dGhl", "====")),
        request("GET /v1/stream", WEBSOCKET.replace("dGhl", "")),
        request("GET /v1/stream", WEBSOCKET.replace(": 13", ": 12")),
        request("GET /v1/stream", WEBSOCKET.replace("Version", "Versions")),
        request("GET /v1/stream", WEBSOCKET + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"),
        request("GET /v1/stream", WEBSOCKET + "Sec-WebSocket-Version: 13\r\n"),
        request("GET /v1/stream", WEBSOCKET + "Sec-WebSocket-Protocol: ,;=\r\n"),
        request("GET /v1/stream", WEBSOCKET + "Upgrade: websocket\r\n"),
    ],
)
async def test_an_odd_request_for_a_websocket_is_refused(server: Server, odd: str) -> None:
    async with wire_to(server.port) as wire:
        await wire.send(odd)
        answer = await wire.answer()
        assert answer.is_refusal, answer
        assert b"Sec-WebSocket" in answer.body or b"body" in answer.body or b"coding" in answer.body
        assert await wire.is_closed()


async def test_every_answer_to_a_request_for_a_websocket_has_the_common_headers(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    lost = await server.answer_to(request("GET /v1/me", WEBSOCKET + "X-Request-ID: mine\r\n"))
    assert (lost.status, lost.slug) == (404, "not-found")
    assert lost.headers["x-request-id"] == "mine"
    assert {"rollbook-version", "x-content-type-options", "cache-control"} <= set(lost.headers)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("path", ["/v1%2Fme", "/v1%2fme", "/%2Fv1/me", "%2Fv1/me", "/v1/me%2F"])
async def test_an_encoded_slash_separates_nothing(server: Server, path: str) -> None:
    assert (await server.answer_to(request(f"GET {path}"))).status in (400, 404)


async def test_an_encoded_slash_leads_to_no_websocket(server: Server) -> None:
    answer = await server.answer_to(request("GET /v1%2Fstream", WEBSOCKET))
    assert (answer.status, answer.slug) == (404, "not-found")
