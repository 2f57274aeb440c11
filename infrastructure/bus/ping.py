"""Whether the broker answers, for readiness."""

import time
from contextlib import suppress
from typing import Final

import aio_pika
from aio_pika.exceptions import CONNECTION_EXCEPTIONS

from application.errors import Unavailable

_SECONDS: Final = 1.5
# A probe each second opens no connection each second.
_KNOWN_SECONDS: Final = 5.0


class BrokerPing:
    """Opens a connection and closes it; an answer counts for five seconds."""

    def __init__(self, amqp_url: str) -> None:
        self._url = amqp_url
        self._answered_at = -_KNOWN_SECONDS

    async def answers(self) -> None:
        """Returns if the broker accepts the connection and its account. Raises `Unavailable`."""
        if time.monotonic() < self._answered_at + _KNOWN_SECONDS:
            return
        try:
            connection = await aio_pika.connect(self._url, timeout=_SECONDS)
        except (*CONNECTION_EXCEPTIONS, TimeoutError) as error:
            raise Unavailable from error
        self._answered_at = time.monotonic()
        with suppress(*CONNECTION_EXCEPTIONS, TimeoutError):
            await connection.close()
