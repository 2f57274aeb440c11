"""Random requests on one connection, cut anywhere: each gets its own answer, in order."""

import asyncio
import json
from random import Random
from typing import Final

import pytest

from tests.support.http.directory import Directory
from tests.support.http.streaming import served
from tests.support.http.wire import request, wire_to
from tests.support.servers.postgres import scaled

H2C: Final = "Connection: Upgrade\r\nUpgrade: h2c\r\n"
BROKEN: Final = (b"HELLO\r\n\r\n", b"GET / HTTP/2.0\r\n\r\n", b"\x16\x03", b"GET /\n\n")
JSON: Final = "Content-Type: application/json\r\n"

Expected = tuple[int, str | None]


@pytest.mark.parametrize("seed", range(3))
async def test_each_request_gets_its_own_answer(seed: int) -> None:
    random = Random(seed)
    async with served(Directory().app) as url:
        port = int(url.rpartition(":")[2])
        for turn in range(scaled(2)):
            names = (f"{turn}-{number}" for number in range(30))
            await asyncio.gather(*(converse(port, random, name) for name in names))


async def converse(port: int, random: Random, name: str) -> None:
    """Send some requests, the last of them perhaps broken, and compare the answers."""
    data, expected = bytearray(), list[Expected]()
    for number in range(random.randint(1, 12)):
        sent, status = one_request(random, f"{name}-{number}")
        data += sent
        expected.append((status, f"{name}-{number}"))
    if random.random() < 0.4:
        data += random.choice(BROKEN)
        expected.append((400, None))
    pieces = random.choice([1, 13, 500, len(data)]) if len(data) < 4000 else 997
    async with wire_to(port) as wire, asyncio.TaskGroup() as tasks:

        async def send() -> None:
            for at in range(0, len(data), pieces):
                await wire.send(bytes(data[at : at + pieces]))
                await asyncio.sleep(0)

        tasks.create_task(send())
        for status, request_id in expected:
            answer = await wire.answer()
            assert answer.status == status
            assert request_id in (None, answer.headers["x-request-id"])


def one_request(random: Random, name: str) -> tuple[bytes, int]:
    """A request, and the status of its answer."""
    headers = f"X-Request-ID: {name}\r\n" + random.choice(["", H2C])
    body = json.dumps({"name": "A" * random.randint(1, 150), "email": f"{name}@example.org"})
    match random.choice(["read", "refused", "sized", "chunked"]):
        case "read":
            return request("GET /v1/me", headers).encode(), 200
        case "refused":
            unread = request("POST /v1/users", f"{headers}Content-Length: 9\r\n", "x" * 9, None)
            return unread.encode(), 401
        case "sized":
            sized = f"{headers}{JSON}Content-Length: {len(body)}\r\n"
            return request("POST /v1/users", sized, body).encode(), 201
        case _:
            chunked = f"{headers}{JSON}Transfer-Encoding: chunked\r\n"
            return request("POST /v1/users", chunked).encode() + chunks(random, body.encode()), 201


def chunks(random: Random, body: bytes) -> bytes:
    written = bytearray()
    while body:
        size = random.randint(1, 40)
        piece, body = body[:size], body[size:]
        written += b"%x%s\r\n%s\r\n" % (len(piece), random.choice([b"", b";a=b"]), piece)
    return bytes(written) + b"0\r\n" + random.choice([b"", b"X: y\r\n"]) + b"\r\n"
