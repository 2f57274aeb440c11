"""Frames that no client library sends: what is counted, and the codes and reasons of refusals."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import ClientConnection

from tests.support.http.streaming import (
    StreamingDirectory,
    closed,
    events,
    frame,
    served,
    stream_socket,
    streaming,
)
from tests.support.http.wire import WEBSOCKET, Wire, request, wire_to
from tests.support.http.wire import frame as raw

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
SIGN_IN: Final = json.dumps({"token": "reader"}).encode()
LIBRARY_WORDS: Final = ("bytes,", "frame with", "codec", "Object ", "Expected `", "JSON is", "$")


@asynccontextmanager
async def opened(url: str) -> AsyncGenerator[Wire]:
    """A connection after its handshake."""
    port = urlsplit(url).port
    assert port is not None
    async with wire_to(port) as wire:
        await wire.send(request("GET /v1/stream", WEBSOCKET, token=None))
        answer = await wire.answer()
        assert answer.status == 101
        assert {"rollbook-version", "x-request-id"} <= set(answer.headers)
        yield wire


async def close_of(wire: Wire) -> tuple[int, str]:
    """The code and reason of the close frame, after any other frames."""
    while True:
        first, size = await wire.read(2)
        if size == 126:
            size = int.from_bytes(await wire.read(2), "big")
        payload = await wire.read(size)
        if first & 0x0F == CLOSE:
            return int.from_bytes(payload[:2], "big"), payload[2:].decode()


@pytest.mark.parametrize("control", [raw(PING), raw(PONG), raw(PING, b"x" * 125)])
async def test_nothing_but_one_message_may_come_before_the_sign_in(
    url: str, control: bytes
) -> None:
    for before in (b"", raw(TEXT, SIGN_IN[:5], fin=False)):
        async with opened(url) as wire:
            await wire.send(before + control)
            assert await close_of(wire) == (4400, "Nothing may come before the first message.")
            assert await wire.is_closed()


@pytest.mark.parametrize(
    "many",
    [
        raw(PING),
        raw(PING, b"x" * 125),
        raw(PONG),
        raw(TEXT),
        raw(BINARY, b"x"),
        raw(TEXT, fin=False) + raw(CONTINUATION, fin=False) * 5 + raw(CONTINUATION),
    ],
)
async def test_frames_of_every_kind_count(url: str, many: bytes) -> None:
    async with opened(url) as wire:
        await wire.send(raw(TEXT, SIGN_IN))
        await wire.send(many * 100)
        assert await close_of(wire) == (4429, "More than 60 messages within a minute.")
        assert await wire.is_closed()


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
async def test_empty_fragments_before_the_sign_in_are_cut_off(url: str, opcode: int) -> None:
    async with opened(url) as wire:
        await wire.send(raw(opcode, fin=False))
        await wire.send(raw(CONTINUATION, fin=False) * 1000)
        assert (await close_of(wire))[0] == 4429
        endless = raw(CONTINUATION, fin=False) * 1000
        assert await wire.send_until_closed(endless, 10_000_000) < 10_000_000


async def test_a_first_message_may_come_in_fragments(url: str) -> None:
    async with opened(url) as wire:
        await wire.send(raw(TEXT, SIGN_IN[:4], fin=False) + raw(CONTINUATION, SIGN_IN[4:]))
        assert b'"ready"' in await wire.read(60)


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (raw(TEXT, b"x" * 16_385), 4400),
        (raw(TEXT, b"x" * 16_000, fin=False) + raw(CONTINUATION, b"x" * 16_000), 4400),
        (raw(TEXT, SIGN_IN, masked=False), 1002),
        (raw(CONTINUATION, SIGN_IN), 1002),
        (raw(TEXT, b"x", fin=False) + raw(TEXT, b"x"), 1002),
        (raw(TEXT | 0x40, SIGN_IN), 1002),
        (raw(3), 1002),
        (raw(TEXT, b"\xff\xfe"), 1007),
        (raw(CLOSE, b"x"), 1002),
        (raw(CLOSE, b"\x03\xe8\xff"), 1007),
    ],
)
async def test_broken_frames_are_refused_in_words_of_ours(
    url: str, broken: bytes, code: int
) -> None:
    async with opened(url) as wire:
        await wire.send(broken)
        found, reason = await close_of(wire)
        assert (found, bool(reason)) == (code, True)
        assert not any(word in reason for word in LIBRARY_WORDS)
        assert await wire.is_closed()


async def test_frames_behind_a_broken_one_are_not_read(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(url) as wire:
        await wire.send(raw(TEXT, b"\xff") + raw(PING) + raw(TEXT, b"\xff"))
        assert (await close_of(wire))[0] == 1007
        assert await wire.is_closed()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_large_control_frames_are_refused(url: str) -> None:
    async with opened(url) as wire:
        await wire.send(raw(TEXT, SIGN_IN))
        await wire.send(raw(PING, b"x" * 126))
        assert (await close_of(wire))[0] == 1002


@pytest.mark.parametrize(
    "first",
    [
        "{",
        "[]",
        '{"token": "reader", "after": "7"}',
        '{"token": "reader", "since": 1}',
        '{"token": 7}',
        '{"token": "reader", "types": "user.*"}',
        '{"token": "reader", "user": "ada"}',
        '{"token": "\\ud800"}',
    ],
)
async def test_a_refused_first_message_is_named_in_words_of_ours(url: str, first: str) -> None:
    async with stream_socket(url) as stream:
        await stream.send(first)
        code, reason = await closed(stream)
        assert code == 4400
        assert not any(word in reason for word in LIBRARY_WORDS)


async def test_pings_of_a_client_library_are_answered(url: str) -> None:
    async with streaming(url) as stream:
        await frame(stream)
        for _ in range(20):
            await asyncio.wait_for(await stream.ping(), 5)


async def test_a_client_that_does_not_close_is_disconnected(url: str) -> None:
    async with opened(url) as wire:
        # It is asked to close after 0.3 s without a message, and does not answer.
        assert (await close_of(wire))[0] == 4408
        assert await wire.is_closed(4)


async def silent_of(url: str, count: int) -> list[ClientConnection]:
    return [await stream_socket(url) for _ in range(count)]


async def test_silent_connections_lock_out_nobody() -> None:
    directory = StreamingDirectory(first_message_seconds=60)
    async with served(directory.app) as url:
        silent = await silent_of(url, 120)
        async with streaming(url, after=0) as by_message, stream_socket(url, token="reader") as own:
            assert (await frame(by_message))["kind"] == (await frame(own))["kind"] == "ready"
            await directory.register()
            assert len(await events(by_message, 1)) == len(await events(own, 1)) == 1
        # The oldest were closed to make room: one for each beyond a hundred.
        reason = "Too many connections have not signed in; try again."
        for oldest in silent[:20]:
            assert await closed(oldest) == (1013, reason)
        await silent[-1].send(SIGN_IN.decode())
        assert (await frame(silent[-1]))["kind"] == "ready"
        await asyncio.gather(*(stream.close() for stream in silent))
