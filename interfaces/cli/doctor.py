"""`rollbook doctor`: what would prevent a start here, and what remains to do."""

import asyncio

import typer

from application.errors import Unavailable
from application.log.high_water import MarksUnavailable
from infrastructure.event_store.opening import find_log_id
from infrastructure.high_water.redis import RedisHighWaterMarks
from infrastructure.keys import MasterKeys
from infrastructure.keys.store import open_key_store
from infrastructure.server_checks import (
    UnsuitableServer,
    check_server,
    has_schema,
    log_ahead_seconds,
)
from interfaces.settings import Settings, WrongSetting

# Below this, the clocks of two servers may just differ.
_AHEAD_SECONDS = 60.0


def doctor(settings: Settings) -> None:
    """Print the findings. Raises `UnsuitableServer` or `WrongSetting`."""
    masters = MasterKeys.parse(settings.need("master_key"))
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    for line in asyncio.run(_examine(settings.database_url.get_secret_value(), redis_url, masters)):
        typer.echo(line)


async def _examine(url: str, redis_url: str | None, masters: MasterKeys) -> list[str]:
    version = await check_server(url)
    found = [f"settings are complete; Postgres {version} is reached directly"]
    if not await has_schema(url):
        return [*found, "the database is empty: run `rollbook migrate`"]
    try:
        async with open_key_store(url) as store:
            counts, current = await store.counts(), await store.current()
        no_mark = await _why_no_mark(url, redis_url)
    except Unavailable:
        raise UnsuitableServer("cannot reach the database: it does not answer") from None
    used = {**({current: 0} if current is not None else {}), **counts}
    for master_id, keys in used.items():
        if master_id not in masters.ids:
            raise WrongSetting(
                "ROLLBOOK_MASTER_KEY",
                f"lacks the key with id {master_id}, which seals data of this database "
                f"(it wraps {keys} of the keys there)",
            )
    if (ahead := await log_ahead_seconds(url)) > _AHEAD_SECONDS:
        found.append(
            f"the log's last event is {ahead:.0f} s ahead of the database's clock: a clock was "
            'wrong; see "A wrong clock" in docs/operations.md'
        )
    older = sum(keys for master_id, keys in counts.items() if master_id != masters.newest)
    if older:
        found.append(f"{older} keys are under an older master key: run `rollbook keys rotate`")
    if no_mark is not None:
        found.append(
            f"no high-water mark is kept: {no_mark}. A restore of an old copy of Postgres's "
            "directory is not noticed: run `rollbook log break` after it"
        )
    return found


async def _why_no_mark(url: str, redis_url: str | None) -> str | None:
    """Why nothing outside the database shows how far the log has come; None if something does."""
    if redis_url is None:
        return "ROLLBOOK_REDIS_URL is not set"
    log_id = await find_log_id(url)
    if log_id is None:
        return None
    try:
        async with RedisHighWaterMarks.open(redis_url) as marks:
            return None if await marks.read(log_id) else "Redis has none yet"
    except MarksUnavailable:
        return "Redis does not answer"
