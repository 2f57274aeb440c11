"""Webhooks between a real event store and receivers, in this process."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from msgspec import Struct
from uuid_utils.compat import uuid7

from application.log.event_log import Draft
from application.webhooks.delivery_ports import DeliveryState, ParkedUser
from application.webhooks.service import Change, WebhookService
from application.webhooks.states import WebhookAt
from domain.event import Event, Recorded
from domain.webhook.commands import CreateWebhook
from infrastructure.doorbell.postgres import PostgresDoorbell
from infrastructure.keys import MasterKeys
from infrastructure.notifications.postgres import PostgresNotifications
from infrastructure.webhooks.records import PostgresDeliveryRecords
from infrastructure.webhooks.sender import HttpSender
from interfaces.composition.event_store import EventStore, open_event_store
from interfaces.composition.webhooks import deliver_webhooks, webhook_directory
from tests.support.log.drafts import change, context, registration
from tests.support.run.background import in_background
from tests.support.servers.postgres import MASTER_KEYS
from tests.support.views.directory import execute
from tests.support.webhooks.receiver import Receiver


class Clock:
    """The time, moved forward by a test."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class WebhookSide(Struct, frozen=True):
    """Everything between a command and an endpoint."""

    url: str
    events: EventStore
    doorbell: PostgresDoorbell
    notifications: PostgresNotifications
    service: WebhookService
    records: PostgresDeliveryRecords
    clock: Clock

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncGenerator[Self]:
        """Opens over a migrated database; delivers nothing yet."""
        async with AsyncExitStack() as stack:
            masters = MasterKeys.parse(MASTER_KEYS)
            events = await stack.enter_async_context(open_event_store(url, masters))
            doorbell = await stack.enter_async_context(PostgresDoorbell.open(url))
            yield cls(
                url,
                events,
                doorbell,
                PostgresNotifications(events.database, uuid7),
                WebhookService(events.log, webhook_directory(events)),
                PostgresDeliveryRecords(events.database),
                Clock(),
            )

    @asynccontextmanager
    async def delivering(self, *, seconds: float = 10) -> AsyncGenerator[None]:
        """Run the deliveries of a worker until the block ends; requests take `seconds` at most."""
        sender = HttpSender(allow_unsafe=True, seconds=seconds)
        work = deliver_webhooks(self.events, self.doorbell, self.notifications, sender, self.clock)
        async with in_background(work):
            yield

    async def create(self, url: str, **members: Any) -> WebhookAt:
        """A new webhook; its first event is the next one, unless `after` says otherwise."""
        members.setdefault("types", ("user.*",))
        command = CreateWebhook(url=url, **members)
        return (await self.service.create(uuid7(), command, context())).state

    async def execute(self, webhook: WebhookAt, command: Change) -> WebhookAt:
        return (await self.service.execute(webhook.id, command, context())).state

    async def register(self, count: int) -> list[Recorded[Event]]:
        """Register this many users; the recorded events in order."""
        return await self.append([registration() for _ in range(count)])

    async def append(self, drafts: Sequence[Draft]) -> list[Recorded[Event]]:
        appended = await asyncio.gather(*(self.events.log.append(each) for each in drafts))
        events = [event for each in appended for event in each.events]
        return sorted(events, key=lambda event: event.position)

    async def record(self, users: int, versions: int) -> dict[str, list[int]]:
        """Users with some events each, mixed in the log; the positions of each user's events."""
        registered = await self.register(users)
        streams = [event.stream for event in registered]
        positions = {str(event.stream): [event.position] for event in registered}
        for version in range(1, versions):
            for event in await self.append([change(each, version) for each in streams]):
                positions[str(event.stream)].append(event.position)
        return positions

    async def state(self, webhook: WebhookAt) -> DeliveryState:
        return (await self.records.states())[webhook.id]

    async def parked(self, webhook: WebhookAt) -> Sequence[ParkedUser]:
        return await self.records.parked(webhook.id, None, 1000)

    async def rows(self, table: str) -> int:
        """How many rows a table has."""
        return (await execute(self.url, f"SELECT count(*) FROM {table}"))[0][0]

    async def wait_until(
        self, webhook: WebhookAt, holds: Callable[[DeliveryState], bool], seconds: float = 20
    ) -> DeliveryState:
        """The stored state as soon as a condition holds."""
        async with asyncio.timeout(seconds):
            while True:
                state = (await self.records.states()).get(webhook.id)
                if state is not None and holds(state):
                    return state
                await asyncio.sleep(0.05)


async def until(holds: Callable[[], object], seconds: float = 20) -> None:
    """Return as soon as a condition holds."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.01)


def by_user(receiver: Receiver) -> dict[str, list[int]]:
    """The accepted positions of each user in order, without repeats."""
    found: dict[str, dict[int, None]] = {}
    for request in receiver.accepted:
        found.setdefault(request.user, {})[request.position] = None
    return {user: list(positions) for user, positions in found.items()}


def received_more(receiver: Receiver, than: int) -> bool:
    """Whether more requests have come than a number."""
    return len(receiver.received) > than
