"""Connections to Redis for callers that set their own time limits."""

from typing import Any, cast

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff


def redis_pool(redis_url: str, name: str, *, connections: int) -> BlockingConnectionPool:
    """A pool of at most so many connections; it connects at the first command.

    It has no timeout: the caller sets one by cancelling, which closes the connection. It does not
    retry: that is the caller's decision. `name` is for the server's list of clients.
    """
    return cast("Any", BlockingConnectionPool).from_url(
        redis_url,
        max_connections=connections,
        timeout=None,
        # With a timeout, redis-py uses `wait_for`, which in Python 3.11 may swallow a cancellation.
        socket_timeout=None,
        socket_connect_timeout=None,
        retry=Retry(NoBackoff(), 0),
        client_name=f"rollbook-{name}",
    )
