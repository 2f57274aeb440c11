"""From the answer to a command until a query shows it, at 100 commands a second, over HTTP.

Right after each command a query sends its position as `Rollbook-Min-Position`: for the user, a list
or the statistics, in turn. First API and projector are two processes, then one `rollbook up`.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import Final
from urllib.parse import urlsplit

import uvloop
from uuid_utils.compat import uuid7

from tests.benchmarks import harness
from tests.benchmarks.http_load import UnexpectedAnswer, request
from tests.benchmarks.open_loop import Client, Times
from tests.benchmarks.processes import TOKEN, rollbook
from tests.support.servers.rollbook import RunningRollbook

RATE: Final = 100
P50_SECONDS: Final = 0.01
_WARM_SECONDS: Final = 2.0
_QUERIES: Final = ("one user", "list", "stats")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rate", type=int, default=RATE, help="commands per second")
    parser.add_argument("--check", action="store_true", help="exit with 1 if the target is missed")
    given = parser.parse_args()
    with harness.migrated_database() as url:
        met = uvloop.run(_measured(url, given.rate, given.seconds))
    if given.check and not met:
        sys.exit(1)


async def _measured(url: str, rate: int, seconds: float) -> bool:
    met = True
    async with rollbook(url, ["api", "projector"]) as roles:
        met &= await _measure_reads(roles.port, TOKEN, "two processes", rate, seconds)
    async with _up() as (port, token):
        met &= await _measure_reads(port, token, "rollbook up", rate, seconds)
    return met


@asynccontextmanager
async def _up() -> AsyncGenerator[tuple[int, str]]:
    with tempfile.TemporaryDirectory() as directory:
        with RunningRollbook(Path(directory) / "data", ROLLBOOK_LOG_LEVEL="error") as running:
            yield urlsplit(running.url).port or 80, running.token


async def _measure_reads(port: int, token: str, where: str, rate: int, seconds: float) -> bool:
    """True if each kind of query met the target; prints the times."""
    client = Client(port)
    await _wait_for_projector(client, token)
    await _at_rate(client, token, rate, _WARM_SECONDS)
    taken = await _at_rate(client, token, rate, seconds)
    met = True
    for name, times in taken.items():
        found = Times.of(times)
        met &= found.p50 <= P50_SECONDS
        sys.stdout.write(
            f"{where}, {name:8} p50 {1000 * found.p50:5.1f} ms (target: at"
            f" most {1000 * P50_SECONDS:.0f}), p95 {1000 * found.p95:5.1f} ms\n"
        )
    return met


async def _wait_for_projector(client: Client, token: str) -> None:
    """Returns when the projector has applied a first command."""
    position = (await client.ask(_registration(token, str(uuid7())), status=201)).position
    async with asyncio.timeout(30):
        for path in ("/v1/users", "/v1/stats"):
            while True:
                with suppress(UnexpectedAnswer):
                    await client.ask(_query(path, token, position))
                    break


async def _at_rate(client: Client, token: str, rate: int, seconds: float) -> dict[str, list[float]]:
    began = perf_counter()
    taken: dict[str, list[float]] = {name: [] for name in _QUERIES}

    async def one(number: int) -> None:
        await asyncio.sleep(began + number / rate - perf_counter())
        user = str(uuid7())
        position = (await client.ask(_registration(token, user), status=201)).position
        answered = perf_counter()
        name = _QUERIES[number % len(_QUERIES)]
        path = {"one user": f"/v1/users/{user}", "list": "/v1/users?sort=-created_at"}
        reply = await client.ask(_query(path.get(name, "/v1/stats"), token, position))
        assert reply.position >= position
        taken[name].append(perf_counter() - answered)

    await asyncio.gather(*(one(number) for number in range(round(seconds * rate))))
    return taken


def _registration(token: str, user: str) -> bytes:
    body = json.dumps({"id": user, "name": "Someone", "email": f"{user}@example.com"})
    return request("POST", "/v1/users", token, body.encode())


def _query(path: str, token: str, position: int) -> bytes:
    return request("GET", path, token, Rollbook_Min_Position=str(position))


if __name__ == "__main__":
    main()
