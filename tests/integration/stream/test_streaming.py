"""An open stream: events in order, filters, heartbeats, and close codes."""

import asyncio
import json
import socket
from urllib.parse import urlsplit

from tests.support.http.streaming import (
    StreamingDirectory,
    closed,
    events,
    frame,
    served,
    stream_socket,
    streaming,
)


async def test_events_are_sent_in_order_and_as_the_api_shows_them(
    directory: StreamingDirectory, url: str
) -> None:
    async with streaming(url, after=0) as stream:
        await directory.register(2)
        found = await events(stream, 2)
        await directory.register()
        found += await events(stream, 1)
    async with directory.as_("reader") as reader:
        assert found == (await reader.get("/v1/events")).json()["items"]


async def test_types_and_users_narrow_a_stream(directory: StreamingDirectory, url: str) -> None:
    await directory.promote()
    async with (
        streaming(url, after=0, types=["user.role_changed"]) as by_type,
        streaming(url, after=0, user=str((await directory.log.read(0, 1)).events[0].stream)) as own,
    ):
        await directory.promote()
        await directory.register()
        assert [e["type"] for e in await events(by_type, 2)] == ["user.role_changed"] * 2
        assert [e["position"] for e in await events(own, 2)] == ["1", "2"]


async def test_personal_data_is_open_to_readers_of_users_only(
    directory: StreamingDirectory, url: str
) -> None:
    await directory.register()
    async with streaming(url, after=0) as reader, streaming(url, token="watcher", after=0) as other:
        (opened,), (sealed,) = await events(reader, 1), await events(other, 1)
        assert (opened["personal"], opened["data"]["name"]) == ("open", "Åsa")
        assert (sealed["personal"], sealed["data"]["name"]) == ("sealed", None)


async def test_heartbeats_move_over_filtered_events(
    directory: StreamingDirectory, url: str
) -> None:
    async with streaming(url, types=["library.*"]) as stream:
        await frame(stream)
        await directory.register(3)
        assert await frame(stream) == {"kind": "heartbeat", "position": 3, "head": 3}
        await directory.register(2)
        assert await frame(stream) == {"kind": "heartbeat", "position": 5, "head": 5}


async def test_heartbeats_come_at_their_interval(url: str) -> None:
    loop = asyncio.get_running_loop()
    async with streaming(url) as stream:
        await frame(stream)
        began = loop.time()
        assert [(await frame(stream))["kind"] for _ in range(3)] == ["heartbeat"] * 3
        assert 0.5 < loop.time() - began < 1.2


async def test_a_whole_log_is_sent_in_messages_of_limited_size(
    directory: StreamingDirectory, url: str
) -> None:
    await directory.register(30, name="x" * 20_000)
    await directory.register(700)
    async with streaming(url, after=0) as stream:
        await frame(stream)
        sizes: list[int] = []
        positions: list[int] = []
        while len(positions) < 730:
            message = await stream.recv()
            sizes.append(len(message))
            positions += [int(e["position"]) for e in json.loads(message).get("events", [])]
    assert positions == list(range(1, 731))
    assert max(sizes) < 300_000


async def test_a_slow_client_is_disconnected_and_the_others_continue() -> None:
    directory = StreamingDirectory(send_seconds=1.0)
    async with served(directory.app) as url, streaming(url) as other:
        await frame(other)
        reader, writer = await slow_stream(url)
        await directory.register(600, name="x" * 20_000)
        assert len(await events(other, 600)) == 600
        await asyncio.sleep(1.5)
        # The client gets what was in the buffers, and then the close frame.
        end = (4409).to_bytes(2, "big") + b"You read too slowly"
        sent = b""
        async with asyncio.timeout(5):
            while end not in sent[-1000:]:
                sent += await reader.read(2**20)
        assert len(sent) < 10_000_000
        writer.close()


async def slow_stream(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection with a small buffer that reads nothing after the handshake."""
    place = urlsplit(url)
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    slow.connect((place.hostname, place.port))
    reader, writer = await asyncio.open_connection(sock=slow, limit=4096)
    writer.write(
        b"GET /v1/stream HTTP/1.1\r\nHost: rollbook\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        b"Sec-WebSocket-Version: 13\r\nAuthorization: Bearer reader\r\n\r\n"
    )
    assert b"101" in await reader.readuntil(b"\r\n\r\n")
    return reader, writer


async def test_a_stopping_server_closes_every_stream(directory: StreamingDirectory) -> None:
    async with served(directory.app) as url, streaming(url) as first, streaming(url) as second:
        await frame(first)
        await frame(second)
        directory.services.stopping.set()
        assert (await closed(first))[0] == (await closed(second))[0] == 1012
        async with streaming(url) as late:
            assert (await closed(late))[0] == 1012


async def test_a_terminated_server_closes_with_the_code_for_resuming(
    directory: StreamingDirectory,
) -> None:
    async with served(directory.app) as url:
        stream = await stream_socket(url, token="reader")
        await frame(stream)
    assert (await closed(stream))[0] == 1012


async def test_a_client_may_send_a_few_messages(url: str) -> None:
    async with streaming(url) as stream:
        for _ in range(20):
            await stream.send('{"ping": 1}')
        assert (await frame(stream))["kind"] == "ready"
        assert (await frame(stream))["kind"] == "heartbeat"


async def test_a_client_that_sends_too_many_messages_is_disconnected(url: str) -> None:
    async with streaming(url) as stream:
        for _ in range(61):
            await stream.send("{}")
        assert await closed(stream) == (4429, "More than 60 messages within a minute.")


async def test_streams_that_end_leave_nothing_behind(
    directory: StreamingDirectory, url: str
) -> None:
    before = asyncio.all_tasks()
    for _ in range(5):
        async with streaming(url) as stream:
            await frame(stream)
    async with asyncio.timeout(5):
        while len(asyncio.all_tasks()) > len(before):
            await asyncio.sleep(0.01)
    assert directory.tail.ring_at(2**60) is None


async def test_notifications_are_sent_between_the_events(
    directory: StreamingDirectory, url: str
) -> None:
    async with streaming(url) as stream:
        await frame(stream)
        await directory.notices.notify("warning", "users: 1 parked stream", "/v1/projections/users")
        notification = await frame(stream)
        await directory.register()
        assert len(await events(stream, 1)) == 1
    assert notification.keys() == {"kind", "id", "severity", "message", "about", "time"}
    assert (notification["kind"], notification["severity"]) == ("notification", "warning")
    assert (notification["message"], notification["about"]) == (
        "users: 1 parked stream",
        "/v1/projections/users",
    )
