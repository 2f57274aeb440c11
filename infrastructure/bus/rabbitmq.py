"""Publishes to RabbitMQ page by page; the broker confirms each message."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import aio_pika
from aio_pika import DeliveryMode
from aio_pika.abc import AbstractChannel, HeadersType
from aio_pika.exceptions import DeliveryError
from structlog import get_logger

from application.context import TENANT
from application.errors import Unavailable
from application.messaging.bus import Message
from infrastructure.bus.connections import CONNECT_SECONDS, FAILURES, connected
from infrastructure.bus.topology import EXCHANGE, declare_topology

CONTENT_TYPE: Final = "application/cloudevents+json"
CONFIRM_SECONDS: Final = 30.0

log = get_logger(__name__)


class RabbitMQBus:
    """See `Bus`. It does not reconnect: the publisher opens a new connection and publishes again.

    A connection that reconnects by itself would not know which messages were confirmed.
    """

    def __init__(
        self,
        amqp_url: str,
        name: str = "rollbook relay",
        *,
        timeout_seconds: float = CONFIRM_SECONDS,
    ) -> None:
        self._url = amqp_url
        self._name = name
        self._timeout_seconds = timeout_seconds
        self._is_away = False

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator["RabbitMQPublisher"]:
        async with AsyncExitStack() as stack:
            try:
                connection = await stack.enter_async_context(connected(self._url, self._name))
                async with asyncio.timeout(CONNECT_SECONDS):
                    channel = await connection.channel()
                    await declare_topology(channel)
                    publisher = RabbitMQPublisher(channel, self._timeout_seconds)
            except FAILURES as error:
                self._report(error)
                raise Unavailable from error
            self._report(None)
            yield publisher

    def _report(self, error: Exception | None) -> None:
        """Logs once that the broker is away, and once that it is back."""
        if error is not None and not self._is_away:
            log.warning("broker_away", error=type(error).__name__)
        elif error is None and self._is_away:
            log.info("broker_back")
        self._is_away = error is not None


class RabbitMQPublisher:
    """See `Publisher`. A message that no queue is bound for counts as published."""

    def __init__(self, channel: AbstractChannel, timeout_seconds: float) -> None:
        self._channel = channel
        self._timeout_seconds = timeout_seconds

    def check(self) -> None:
        if self._channel.is_closed:
            raise Unavailable

    async def publish(self, messages: Sequence[Message]) -> Sequence[Message]:
        self.check()
        try:
            # All messages are sent before the first is confirmed. Tasks start in their order, and
            # the channel writes in the order of the calls.
            async with asyncio.timeout(self._timeout_seconds):
                outcomes = await asyncio.gather(*map(self._send, messages), return_exceptions=True)
        except TimeoutError as error:
            raise Unavailable from error
        refused: list[Message] = []
        for message, outcome in zip(messages, outcomes, strict=True):
            if isinstance(outcome, DeliveryError):
                refused.append(message)
            elif isinstance(outcome, BaseException):
                raise Unavailable from outcome
        return refused

    async def _send(self, message: Message) -> None:
        channel = await self._channel.get_underlay_channel()
        await channel.basic_publish(
            message.body,
            exchange=EXCHANGE,
            routing_key=message.type,
            properties=_wrapped(message).properties,
            mandatory=False,
        )


def _wrapped(message: Message) -> aio_pika.Message:
    headers: HeadersType = {
        "position": message.position,
        "version": message.version,
        "tenant": TENANT,
    }
    return aio_pika.Message(
        message.body,
        content_type=CONTENT_TYPE,
        delivery_mode=DeliveryMode.PERSISTENT,
        message_id=str(message.event_id),
        headers=headers,
    )
