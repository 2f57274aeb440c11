"""All clients of a running Rollbook, and a check that they received every event."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, Protocol, Self
from uuid import uuid4

from msgspec import Struct

from tests.support.http.agreement import all_events, assert_agreement, head
from tests.support.http.load import Load, unaccepted
from tests.support.http.stream_reader import StreamReader
from tests.support.jobs.relaying import Outsider

CATCH_UP_SECONDS: Final = 30.0
_PAUSE_SECONDS: Final = 0.05


class Served(Protocol):
    """A running Rollbook; its addresses stay the same while its processes end and start."""

    url: str

    @property
    def token(self) -> str: ...


class Witnesses(Struct, frozen=True, kw_only=True):
    """Callers, a client of the stream and, if there is a RabbitMQ, an outside consumer."""

    before: int
    load: Load
    reader: StreamReader
    outsider: Outsider | None

    @classmethod
    @asynccontextmanager
    async def of(cls, rollbook: Served, amqp_url: str | None = None) -> AsyncGenerator[Self]:
        """Start the clients at the current head of the log."""
        async with Load.on(rollbook.url, rollbook.token) as load:
            before = await head(load.client)
            async with (
                StreamReader.on(rollbook.url, rollbook.token, before) as reader,
                _outsider(amqp_url) as outsider,
            ):
                yield cls(before=before, load=load, reader=reader, outsider=outsider)

    async def wait_for_accepted(self, count: int, timeout_seconds: float = 60.0) -> None:
        """Return when this many more commands of the load are accepted."""
        expected = self.accepted + count
        async with asyncio.timeout(timeout_seconds):
            while self.accepted < expected:
                await asyncio.sleep(_PAUSE_SECONDS)

    @property
    def accepted(self) -> int:
        return sum(one.accepted is not None for one in self.load.sent)

    async def assert_all_received(self) -> None:
        """Stop the load; check its answers, and that every client received the log."""
        await self.load.stop()
        await self.load.repeat(unaccepted(self.load.sent))
        assert unaccepted(self.load.sent) == []
        events = await all_events(self.load.client, self.before)
        last = int(events[-1]["position"])
        await self.wait_for_views(last, CATCH_UP_SECONDS)
        await assert_agreement(self.load.client, self.load.sent, after=self.before)
        ids = [event["id"] for event in events]
        await self.reader.wait_for(last, CATCH_UP_SECONDS)
        assert [event["id"] for event in self.reader.events] == ids
        if self.outsider is not None:
            await self.outsider.wait_for(last, CATCH_UP_SECONDS)
            # A duplicate has the same id; without duplicates, all events came in order.
            assert self.outsider.first_deliveries == [int(event["position"]) for event in events]
            assert {message.message_id for message in self.outsider.messages} == set(ids)

    async def wait_for_views(self, position: int, timeout_seconds: float) -> None:
        """Return when every view has reached a position."""
        async with asyncio.timeout(timeout_seconds):
            while await self._lowest_position() < position:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _lowest_position(self) -> int:
        answer = await self.load.client.get("/v1/projections")
        return min(item["position"] for item in answer.raise_for_status().json()["items"])


@asynccontextmanager
async def _outsider(amqp_url: str | None) -> AsyncGenerator[Outsider | None]:
    if amqp_url is None:
        yield None
        return
    async with Outsider.listening(amqp_url, f"rollbook-test-{uuid4().hex[:12]}") as outsider:
        yield outsider
