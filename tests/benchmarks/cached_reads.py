"""`GET /v1/users/{id}` from the cache, against a bare FastAPI route that sends the same bytes.

One process answers each side, over 32 connections. Ours checks an issued token and the parameters, reads
from Redis, compares the position, counts the request for its caller, and adds all headers of the
contract.
"""

import asyncio
import sys
from collections.abc import Sequence
from typing import Final

import httpx2
from uuid_utils.compat import uuid7

from tests.benchmarks.harness import Comparison, Options, compare, run
from tests.benchmarks.http_load import load, request
from tests.benchmarks.processes import TOKEN, rollbook, twin
from tests.support.servers.redis_admin import RedisAdmin

CONNECTIONS: Final = 32
TARGET: Final = 0.65


async def cached_reads(url: str, given: Options) -> Sequence[Comparison]:
    """Reads one user all the time; the projector runs, but has no work."""
    async with rollbook(url, ["api", "projector"]) as ours:
        path = f"/v1/users/{uuid7()}"
        body, token = await _registered(ours.port, path)
        read_request = request("GET", path, token)

        async def answers(port: int, seconds: float) -> float:
            found = await load(port, lambda: read_request, connections=CONNECTIONS, seconds=seconds)
            return found.per_second

        async with twin("bare_twin", body) as bare_port:
            comparison = await compare(
                f"GET /v1/users/{{id}} from the cache, {CONNECTIONS} connections",
                lambda seconds: answers(bare_port, seconds),
                lambda seconds: answers(ours.port, seconds),
                given,
                target=TARGET,
            )
        with RedisAdmin(ours.redis_url) as redis:
            calls = redis.calls("mget")
    answered = given.seconds * (sum(comparison.ours) + comparison.ours[0] / 4)
    sys.stdout.write(f"{answered / max(calls, 1):.1f} answers per round trip to Redis\n")
    return [comparison]


async def _registered(port: int, path: str) -> tuple[str, str]:
    """Registers a user and waits until the cache has it; its body, and a token that may read it."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    base_url = f"http://127.0.0.1:{port}"
    # On a busy machine the port accepts connections seconds before the first answer.
    async with httpx2.AsyncClient(
        base_url=base_url, headers=headers, trust_env=False, timeout=30
    ) as client:
        user = {
            "id": path.rpartition("/")[2],
            "name": "Åsa Öberg",
            "email": "asa.oberg@example.com",
            "attributes": {"team": "maps", "floor": 3},
        }
        (await client.post("/v1/users", json=user)).raise_for_status()
        asked = {"name": "reader", "preset": "reader"}
        issued = (await client.post("/v1/tokens", json=asked)).raise_for_status()
        # The cache follows the view within moments.
        await asyncio.sleep(1.5)
        body = (await client.get(path)).raise_for_status().text
        return body, issued.json()["token"]


if __name__ == "__main__":
    run(cached_reads, str(__doc__))
