"""`GET /v1/users`, the same page of 50 again and again: from the cache, and from Postgres.

Each side is one API process, with a cache or without one, over 32 connections.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

import httpx2

from tests.benchmarks.harness import Comparison, Options, compare, run
from tests.benchmarks.http_load import load, request
from tests.benchmarks.processes import TOKEN, rollbook

CONNECTIONS: Final = 32
USERS: Final = 400
# The cache must be worth the round trip to Redis.
TARGET: Final = 1.5
_PATH: Final = "/v1/users?q=asa&sort=name"


async def cached_lists(url: str, given: Options) -> Sequence[Comparison]:
    """No user changes during the measurement, because each change removes all pages."""
    async with (
        rollbook(url, ["api", "projector"]) as ours,
        rollbook(url, ["api"], cached=False) as plain,
    ):
        await _register(ours.port)

        async def answers(port: int, seconds: float) -> float:
            list_request = request("GET", _PATH, TOKEN)
            found = await load(port, lambda: list_request, connections=CONNECTIONS, seconds=seconds)
            return found.per_second

        comparison = await compare(
            f"GET /v1/users from the cache, against Postgres, {CONNECTIONS} connections",
            lambda seconds: answers(plain.port, seconds),
            lambda seconds: answers(ours.port, seconds),
            given,
            target=TARGET,
        )
    return [comparison]


async def _register(port: int) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    base_url = f"http://127.0.0.1:{port}"
    async with httpx2.AsyncClient(base_url=base_url, headers=headers, trust_env=False) as client:
        for n in range(USERS):
            user = {"name": f"Åsa Öberg {n}", "email": f"asa.oberg.{n}@example.com"}
            (await client.post("/v1/users", json=user)).raise_for_status()
        # Until the cache has caught up with the view.
        await asyncio.sleep(1.5)


if __name__ == "__main__":
    run(cached_lists, str(__doc__))
