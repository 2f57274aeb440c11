"""In-memory webhooks for tests: which there are, and endpoints that answer as a test says."""

import os
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from application.webhooks.delivery_ports import (
    Answer,
    Attempt,
    DeliveryState,
    Endpoint,
    ParkedUser,
    RefusalCode,
    SignedBody,
    TargetRefused,
)
from application.webhooks.parts import Webhooks
from application.webhooks.ports import LivingWebhook
from application.webhooks.service import WebhookService
from application.webhooks.states import WebhookAt, folded
from domain.webhook.claims import PLACES, SCOPE
from infrastructure.keys import MasterKeyRing, MasterKeys
from tests.support.doubles.event_log import InMemoryEventLog
from tests.support.servers.postgres import MASTER_KEYS


class InMemoryWebhookDirectory:
    """See `WebhookDirectory`, over the log in memory."""

    def __init__(self, log: InMemoryEventLog) -> None:
        self._log = log

    async def living(self) -> Sequence[LivingWebhook]:
        streams = [held for place in PLACES if (held := await self._log.holder_of(SCOPE, place))]
        versions = [len((await self._log.load(stream)).events) for stream in streams]
        return [
            LivingWebhook(stream, version)
            for stream, version in zip(streams, versions, strict=True)
        ]

    async def load(self, ids: Collection[UUID]) -> Mapping[UUID, WebhookAt]:
        states = {each: folded((await self._log.load(each)).events) for each in ids}
        return {each: state for each, state in states.items() if state is not None}

    async def free_place(self, webhook: UUID) -> str | None:
        free = [each for each in PLACES if await self._log.holder_of(SCOPE, each) is None]
        return free[webhook.int % len(free)] if free else None


class Endpoints:
    """See `TargetCheck` and `WebhookSender`: records what is sent, and answers with `answer`."""

    def __init__(self) -> None:
        self.answer = Answer(status=204, seconds=0.0421)
        self.refused: dict[str, RefusalCode] = {}
        self.sent: list[tuple[str, SignedBody]] = []

    async def check(self, url: str) -> None:
        if code := self.refused.get(url):
            raise TargetRefused(code, "The host must have only public addresses.")

    @asynccontextmanager
    async def open(self, url: str) -> AsyncGenerator[Endpoint]:
        yield _Endpoint(self, url)


class _Endpoint:
    def __init__(self, endpoints: Endpoints, url: str) -> None:
        self._endpoints = endpoints
        self._url = url

    async def send(self, content: SignedBody) -> Answer:
        self._endpoints.sent.append((self._url, content))
        return self._endpoints.answer


class InMemoryDeliveries:
    """See `DeliveryRecords` and `ParkedUsers`: a test sets what is stored."""

    def __init__(self) -> None:
        self.stored: dict[UUID, DeliveryState] = {}
        self.made: dict[UUID, list[Attempt]] = {}
        self.waiting: dict[UUID, dict[UUID, ParkedUser]] = {}
        self.retried: list[tuple[UUID, UUID]] = []

    async def states(self) -> Mapping[UUID, DeliveryState]:
        return dict(self.stored)

    async def attempts(self, webhook: UUID, before: int | None, limit: int) -> Sequence[Attempt]:
        newest_first = sorted(self.made.get(webhook, ()), key=lambda each: -each.number)
        return [each for each in newest_first if before is None or each.number < before][:limit]

    async def parked(self, webhook: UUID, after: UUID | None, limit: int) -> Sequence[ParkedUser]:
        users = sorted(self.waiting.get(webhook, {}).items())
        return [parked for user, parked in users if after is None or user > after][:limit]

    async def retry(self, webhook: UUID, user: UUID) -> bool:
        self.retried.append((webhook, user))
        return user in self.waiting.get(webhook, {})


def managed_webhooks(
    log: InMemoryEventLog, endpoints: Endpoints, deliveries: InMemoryDeliveries
) -> Webhooks:
    """The webhooks of a log in memory, with secrets of its own."""
    return Webhooks(
        commands=WebhookService(log, InMemoryWebhookDirectory(log)),
        secrets=MasterKeyRing(MasterKeys.parse(MASTER_KEYS), os.urandom(32)),
        targets=endpoints,
        sender=endpoints,
        records=deliveries,
        parked=deliveries,
    )
