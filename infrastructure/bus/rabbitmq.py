"""Publishes to RabbitMQ page by page; the broker confirms each message."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import aio_pika
from aio_pika import DeliveryMode
from aio_pika.abc import AbstractChannel, AbstractConnection, HeadersType
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, DeliveryError
from structlog import get_logger

from application.context import TENANT
from application.errors import Unavailable
from application.messaging.bus import Message
from infrastructure.bus.topology import EXCHANGE, declare_topology

CONTENT_TYPE: Final = "application/cloudevents+json"
_CONNECT_SECONDS: Final = 5.0
CONFIRM_SECONDS: Final = 30.0
_CLOSE_SECONDS: Final = 2.0
# A peer that is silent for three heartbeats counts as dead; a setting in the URL wins.
_HEARTBEAT_SECONDS: Final = 10

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
        self._url = _with_defaults(amqp_url, {"heartbeat": _HEARTBEAT_SECONDS, "name": name})
        self._timeout_seconds = timeout_seconds
        self._is_away = False

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator["RabbitMQPublisher"]:
        try:
            connection = await aio_pika.connect(self._url, timeout=_CONNECT_SECONDS)
        except (*CONNECTION_EXCEPTIONS, TimeoutError) as error:
            self._report(error)
            raise Unavailable from error
        try:
            yield await self._publisher(connection)
        finally:
            # A broker that is away cannot confirm the close.
            with suppress(*CONNECTION_EXCEPTIONS, TimeoutError):
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await connection.close()

    async def _publisher(self, connection: AbstractConnection) -> "RabbitMQPublisher":
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                channel = await connection.channel()
                await declare_topology(channel)
                publisher = RabbitMQPublisher(channel, self._timeout_seconds)
        except (*CONNECTION_EXCEPTIONS, TimeoutError) as error:
            self._report(error)
            raise Unavailable from error
        self._report(None)
        return publisher

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


def _with_defaults(url: str, defaults: Mapping[str, object]) -> str:
    parts = urlsplit(url)
    given = parse_qs(parts.query)
    missing = {name: value for name, value in defaults.items() if name not in given}
    query = "&".join(filter(None, [parts.query, urlencode(missing)]))
    return urlunsplit(parts._replace(query=query))


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
