"""What Rollbook has on the broker; the queues of others are their own."""

from typing import Final

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel

EXCHANGE: Final = "rollbook.events"


async def declare_topology(channel: AbstractChannel) -> None:
    """Make what is missing. Raises AMQP errors, such as where a thing exists in another form."""
    await channel.declare_exchange(EXCHANGE, ExchangeType.TOPIC, durable=True)
