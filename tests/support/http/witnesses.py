"""Everybody who is told of what happens in a running Rollbook, and whether they were told all."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final, Self
from uuid import uuid4

from msgspec import Struct

from tests.support.http.agreement import all_events, assert_agreement, head
from tests.support.http.load import Load, unanswered
from tests.support.http.stream_reader import StreamReader
from tests.support.jobs.relaying import Outsider
from tests.support.servers.rollbook import RunningRollbook

CATCH_UP_SECONDS: Final = 30.0
_PAUSE_SECONDS: Final = 0.05


class Witnesses(Struct, frozen=True, kw_only=True):
    """Callers, a reader of the stream and, where there is a RabbitMQ, an outside consumer."""

    before: int
    load: Load
    reader: StreamReader
    outsider: Outsider | None

    @classmethod
    @asynccontextmanager
    async def of(
        cls, rollbook: RunningRollbook, amqp_url: str | None = None
    ) -> AsyncGenerator[Self]:
        """From the present head of the log on."""
        async with Load.on(rollbook.url, rollbook.token) as load:
            before = await head(load.client)
            async with (
                StreamReader.on(rollbook.url, rollbook.token, before) as reader,
                _outsider(amqp_url) as outsider,
            ):
                yield cls(before=before, load=load, reader=reader, outsider=outsider)

    async def accept(self, count: int, timeout_seconds: float = 60.0) -> None:
        """Return when so many more commands of the load were accepted."""
        enough = self.accepted + count
        async with asyncio.timeout(timeout_seconds):
            while self.accepted < enough:
                await asyncio.sleep(_PAUSE_SECONDS)

    @property
    def accepted(self) -> int:
        return sum(one.accepted is not None for one in self.load.sent)

    async def assert_all_is_told(self) -> None:
        """End the load; the log is what its callers were told, and everybody knows it."""
        await self.load.enough()
        await self.load.repeat(unanswered(self.load.sent))
        assert unanswered(self.load.sent) == []
        events = await all_events(self.load.client, self.before)
        last = int(events[-1]["position"])
        await self.projected(last, CATCH_UP_SECONDS)
        await assert_agreement(self.load.client, self.load.sent, after=self.before)
        ids = [event["id"] for event in events]
        await self.reader.reaches(last, CATCH_UP_SECONDS)
        assert [event["id"] for event in self.reader.events] == ids
        if self.outsider is not None:
            await self.outsider.has(last, CATCH_UP_SECONDS)
            # The same event again has the same id; without these all came, and in order.
            assert self.outsider.first_deliveries == [int(event["position"]) for event in events]
            assert {message.message_id for message in self.outsider.messages} == set(ids)

    async def projected(self, position: int, timeout_seconds: float) -> None:
        """Return when every view is at a position."""
        async with asyncio.timeout(timeout_seconds):
            while await self._behind() < position:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _behind(self) -> int:
        answer = await self.load.client.get("/v1/projections")
        return min(item["position"] for item in answer.raise_for_status().json()["items"])


@asynccontextmanager
async def _outsider(amqp_url: str | None) -> AsyncGenerator[Outsider | None]:
    if amqp_url is None:
        yield None
        return
    async with Outsider.listening(amqp_url, f"rollbook-test-{uuid4().hex[:12]}") as outsider:
        yield outsider
