"""Connections to the broker; none repairs itself, because its user must know that it was lost."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

import aio_pika
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS

CONNECT_SECONDS: Final = 5.0
FAILURES: Final = (*CONNECTION_EXCEPTIONS, TimeoutError)
"""What operations on a connection raise while the broker is away or refuses them."""

_CLOSE_SECONDS: Final = 2.0
# A peer that is silent for three heartbeats counts as dead; a setting in the URL wins.
_HEARTBEAT_SECONDS: Final = 10


@asynccontextmanager
async def connected(amqp_url: str, name: str) -> AsyncGenerator[AbstractConnection]:
    """A connection that the broker shows under a name, until the context ends.

    Raises `FAILURES` within 5 s.
    """
    url = _with_defaults(amqp_url, {"heartbeat": _HEARTBEAT_SECONDS, "name": name})
    connection = await aio_pika.connect(url, timeout=CONNECT_SECONDS)
    try:
        yield connection
    finally:
        # A broker that is away cannot confirm the close.
        with suppress(*FAILURES):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await connection.close()


def _with_defaults(url: str, defaults: Mapping[str, object]) -> str:
    parts = urlsplit(url)
    given = parse_qs(parts.query)
    missing = {name: value for name, value in defaults.items() if name not in given}
    query = "&".join(filter(None, [parts.query, urlencode(missing)]))
    return urlunsplit(parts._replace(query=query))
