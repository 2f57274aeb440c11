"""`rollbook doctor`: what would prevent a start here, and what remains to do."""

import asyncio

import typer

from application.errors import Unavailable
from application.log.high_water import MarksUnavailable
from infrastructure.database import Database
from infrastructure.event_store.opening import find_log_id
from infrastructure.high_water.redis import RedisHighWaterMarks
from infrastructure.keys import MasterKeys
from infrastructure.keys.store import open_key_store
from infrastructure.server_checks import (
    UnsuitableServer,
    check_server,
    connections_allowed,
    has_schema,
    log_ahead_seconds,
)
from interfaces.composition.connections import MAX_OF_A_ROLE, MAX_OF_ALL
from interfaces.composition.mail import examine_mail
from interfaces.composition.oidc import examine_oidc
from interfaces.composition.projector import unused_projections
from interfaces.roles import ROLES
from interfaces.settings import Settings, WrongSetting

# Below this, the clocks of two servers may just differ.
_AHEAD_SECONDS = 60.0


def doctor(settings: Settings) -> None:
    """Print the findings. Raises `UnsuitableServer` or `WrongSetting`."""
    masters = MasterKeys.parse(settings.need("master_key"))
    redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
    found = asyncio.run(_examine(settings.database_url.get_secret_value(), redis_url, masters))
    found += asyncio.run(examine_mail(settings))
    for line in [*found, *asyncio.run(examine_oidc(settings))]:
        typer.echo(line)


async def _examine(url: str, redis_url: str | None, masters: MasterKeys) -> list[str]:
    version = await check_server(url)
    found = [f"settings are complete; Postgres {version} is reached directly"]
    found += _connections(await connections_allowed(url))
    if not await has_schema(url):
        return [*found, "the database is empty: run `rollbook migrate`"]
    try:
        async with open_key_store(url) as store:
            counts, current = await store.counts(), await store.current()
        no_mark = await _why_no_mark(url, redis_url)
        async with Database.open(url, size=2) as database:
            unused = await unused_projections(database).names()
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
    found += [
        f"this release does not have the projection {name}, and erasures wait for it: if no other "
        f"release needs it, run `rollbook projections drop {name}`"
        for name in unused
    ]
    older = sum(keys for master_id, keys in counts.items() if master_id != masters.newest)
    if older:
        found.append(f"{older} keys are under an older master key: run `rollbook keys rotate`")
    if no_mark is not None:
        found.append(
            f"no high-water mark is kept: {no_mark}. A restore of an old copy of Postgres's "
            "directory is not noticed: run `rollbook log break` after it"
        )
    return found


def _connections(allowed: int) -> list[str]:
    """What is missing for one process with all roles, and for one process for each role."""
    by_role = len(ROLES) * MAX_OF_A_ROLE
    if allowed >= by_role:
        return []
    if allowed >= MAX_OF_ALL:
        needed = f"one process for each role may need {by_role} ({MAX_OF_A_ROLE} each)"
        lacking = by_role - allowed
    else:
        needed = f"one process with all roles may need {MAX_OF_ALL}"
        lacking = MAX_OF_ALL - allowed
    return [
        f"Postgres leaves Rollbook {allowed} connections, and {needed}: raise max_connections "
        f"by {lacking}, or the limit of the database or its user"
    ]


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
