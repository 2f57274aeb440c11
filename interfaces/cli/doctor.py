"""`rollbook doctor`: what would prevent a start here, and what remains to do."""

import asyncio

import typer

from application.errors import Unavailable
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
    for line in asyncio.run(_examine(settings.database_url.get_secret_value(), masters)):
        typer.echo(line)


async def _examine(url: str, masters: MasterKeys) -> list[str]:
    version = await check_server(url)
    found = [f"settings are complete; Postgres {version} is reached directly"]
    if not await has_schema(url):
        return [*found, "the database is empty: run `rollbook migrate`"]
    try:
        async with open_key_store(url) as store:
            counts, current = await store.counts(), await store.current()
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
    return found
