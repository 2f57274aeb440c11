"""Builds the limits of requests, and the work that shares them with the other API processes."""

from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

from application.access.limits import Limits
from infrastructure.limits.redis import RedisLimits
from interfaces.composition.shared import Parts


async def open_limits(
    stack: AsyncExitStack, parts: Parts
) -> tuple[Limits | None, list[Coroutine[Any, Any, None]]]:
    """The limits, unless they are turned off; without Redis each process limits alone."""
    settings = parts.settings
    if settings.rate_limit == 0:
        return None, []
    if settings.redis_url is None:
        return Limits(settings.rate_limit), []
    url = settings.redis_url.get_secret_value()
    identity, keys = parts.store.identity, parts.store.keys
    shared = await stack.enter_async_context(RedisLimits.open(url, identity.id, keys.mac))
    limits = Limits(settings.rate_limit, shared)
    return limits, [limits.shared(shared).run()]
