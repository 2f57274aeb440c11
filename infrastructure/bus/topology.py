"""Rollbook's exchange on the broker; consumers declare their own queues."""

from typing import Final

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel

EXCHANGE: Final = "rollbook.events"


async def declare_topology(channel: AbstractChannel) -> None:
    """Declare the exchange. Raises AMQP errors, for example if it exists with other properties."""
    await channel.declare_exchange(EXCHANGE, ExchangeType.TOPIC, durable=True)
