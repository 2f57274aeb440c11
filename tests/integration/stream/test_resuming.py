"""A client that resumes after its last position receives each event once, after any interruption."""

import asyncio
import random
from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from application.identity import PRESETS, Principal
from tests.support.http.streaming import StreamingDirectory, frame, served, streaming
from tests.support.servers.postgres import scaled

EVENTS = scaled(400)
READER = Principal(actor="token:reader", permissions=PRESETS["reader"])


class Reader:
    """Resumes until the given position, and records each position that it receives."""

    def __init__(self, rng: random.Random, types: list[str]) -> None:
        self.seen: list[int] = []
        self.position = 0
        self.connections = 0
        self._rng = rng
        self._types = types

    async def read(self, url: str, until: int) -> None:
        while self.position < until:
            with suppress(ConnectionClosed, ConnectionError, InvalidHandshake):
                await self._read_a_little(url, until)

    async def _read_a_little(self, url: str, until: int) -> None:
        max_frames = self._rng.randrange(1, 8)
        async with streaming(url, after=self.position, types=self._types) as stream:
            assert (await frame(stream))["position"] == self.position
            self.connections += 1
            for _ in range(max_frames):
                message = await frame(stream)
                positions = [int(event["position"]) for event in message.get("events", [])]
                self.seen += positions
                self.position = positions[-1] if positions else message["position"]
                if self.position >= until:
                    return
            if self._rng.random() < 0.5:
                stream.transport.abort()


@pytest.mark.parametrize("seed", range(3))
async def test_interrupted_streams_give_each_event_once_and_in_order(seed: int) -> None:
    rng = random.Random(seed)
    directory = StreamingDirectory(heartbeat_seconds=0.05)
    readers = [Reader(rng, []) for _ in range(3)] + [Reader(rng, ["user.role_changed"])]
    # The log says already that this caller reads, so that no position between users' is taken.
    await directory.openings.record(READER, "stream", "before")
    first, last = 2, 2 * EVENTS + 1
    async with asyncio.timeout(60):
        async with served(directory.app) as url:
            port = int(url.rpartition(":")[2])
            reading = [asyncio.create_task(r.read(url, last)) for r in readers]
            await write(directory, rng, EVENTS // 2)
        async with served(directory.app, port):
            await write(directory, rng, EVENTS // 2)
            await asyncio.gather(*reading)
    for reader in readers[:3]:
        assert reader.seen == list(range(first, last + 1))
        assert reader.connections > 5
    assert readers[3].seen == list(range(first + 1, last + 1, 2))


async def write(directory: StreamingDirectory, rng: random.Random, users: int) -> None:
    """Each user records two events."""
    for _ in range(users):
        await directory.promote()
        await asyncio.sleep(rng.choice((0, 0, 0, 0.005)))
