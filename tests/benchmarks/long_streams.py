"""A user with 100,000 versions against users with 10: commands, and reads of past versions.

Before the rounds, the snapshots are stored that commands would have stored.
"""

import random
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from itertools import cycle
from time import perf_counter
from typing import Final
from uuid import UUID

import msgspec

from application.users.service import UserService
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import open_event_store
from tests.benchmarks.harness import Comparison, Options, compare, run
from tests.benchmarks.http_load import MakeRequest, load, request
from tests.benchmarks.processes import TOKEN, rollbook
from tests.support.log.long_streams import make_snapshots, record_histories, user_at_with_retries
from tests.support.servers.postgres import MASTER_KEYS

VERSIONS: Final = 100_000
SHORT: Final = 10
USERS: Final = 5_000
TARGET: Final = 0.5


async def long_streams(url: str, given: Options) -> Sequence[Comparison]:
    """Uses one connection, so that the comparison is of response times."""
    async with open_event_store(url, MasterKeys.parse(MASTER_KEYS)) as store:
        short = await record_histories(url, store.keys, SHORT, users=USERS)
        (long,) = await record_histories(url, store.keys, VERSIONS)
        began = perf_counter()
        last = await user_at_with_retries(UserService(store.log), long)
        sys.stdout.write(f"a read without snapshots: {perf_counter() - began:.1f} s\n")
        await make_snapshots(store.log, long)
    rng = random.Random(7)
    begin, end = last.created_at, last.updated_at
    users = cycle(short)
    sides: list[tuple[str, MakeRequest, MakeRequest]] = [
        (
            "?version=n",
            lambda: _read(next(users), f"version={rng.randint(1, SHORT)}"),
            lambda: _read(long, f"version={rng.randint(1, VERSIONS)}"),
        ),
        (
            "?at=t",
            lambda: _read(next(users), f"at={_timestamp(end)}"),
            lambda: _read(long, f"at={_timestamp(begin + rng.random() * (end - begin))}"),
        ),
        ("PATCH", lambda: _patch(next(users), rng), lambda: _patch(long, rng)),
    ]
    async with rollbook(url, ["api"]) as running:
        return [
            await compare(
                f"{what}, {VERSIONS:,} versions against {SHORT}",
                partial(_answers, running.port, twin),
                partial(_answers, running.port, ours),
                given,
                target=TARGET,
            )
            for what, twin, ours in sides
        ]


async def _answers(port: int, make_request: Callable[[], bytes], seconds: float) -> float:
    # A median needs two answers; even a busy machine gives them within a second.
    return 1 / (await load(port, make_request, connections=1, seconds=max(seconds, 1.0))).p50


def _read(user: UUID, query: str) -> bytes:
    return request("GET", f"/v1/users/{user}?{query}", TOKEN)


def _patch(user: UUID, rng: random.Random) -> bytes:
    body = msgspec.json.encode({"name": f"Åsa {rng.random()}"})
    return request("PATCH", f"/v1/users/{user}", TOKEN, body)


def _timestamp(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


if __name__ == "__main__":
    run(long_streams, str(__doc__))
