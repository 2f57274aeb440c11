"""Queries and single commands over HTTP, with a million users and five million events.

Each query is sent 20 times a second on a fixed schedule, and timed from its scheduled moment; there
is no cache. The twin of a single command is the same command in a directory with ten thousand
users; the two take turns.
"""

import argparse
import json
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import Final

import structlog
import uvloop
from msgspec import Struct
from uuid_utils.compat import uuid7

from application.projector.view_store import Slot
from infrastructure.keys import MasterKeys
from infrastructure.views.sql.tables import tables_of
from interfaces.composition.event_store import open_event_store
from projections.registry import PROJECTIONS
from tests.benchmarks import harness
from tests.benchmarks.http_load import MakeRequest, load, request
from tests.benchmarks.open_loop import Client, Times
from tests.benchmarks.processes import TOKEN, rollbook
from tests.benchmarks.scale_questions import questions, sampled
from tests.benchmarks.seeding import seed
from tests.support.servers.postgres import MASTER_KEYS
from tests.support.views.directory import execute
from tests.support.views.rebuilding import Rebuilder

USERS: Final = 1_000_000
EVENTS: Final = 5_000_000
RATE: Final = 20
P95_SECONDS: Final = 0.05
COMMAND_RATIO: Final = 1.3
_SMALL: Final = 10_000
_ROUNDS: Final = 7
_BEFORE_SECONDS: Final = 0.5


class Given(Struct, frozen=True):
    users: int
    events: int
    seconds: float
    check: bool
    only: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=USERS)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each query")
    parser.add_argument("--only", default="", help="only queries whose name contains this text")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    given = Given(**vars(parser.parse_args()))
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with ExitStack() as stack:
        large, small = (stack.enter_context(harness.migrated_database()) for _ in range(2))
        if not uvloop.run(_measured(large, small, given)) and given.check:
            sys.exit(1)


async def _measured(large: str, small: str, given: Given) -> bool:
    await filled(large, given.users, given.events)
    await filled(small, min(_SMALL, given.users), 5 * min(_SMALL, given.users))
    fast = await queries(large, given)
    return await commands(large, small, given) and fast


async def filled(url: str, users: int, events: int) -> None:
    """Fills the log with that many users and events, and rebuilds the views."""
    began = time.perf_counter()
    async with open_event_store(url, MasterKeys.parse(MASTER_KEYS)) as store:
        await seed(url, store.keys, events, users)
    seeded = time.perf_counter()
    async with Rebuilder.open(url) as rebuilder:
        head = "UPDATE checkpoints SET position = (SELECT max(notification_id) FROM stored_events)"
        await execute(url, head)
        async with rebuilder.projecting():
            for projection in PROJECTIONS:
                done = await rebuilder.rebuild(projection.name)
                rows = tables_of(Slot(projection, done["generation"])).rows
                # Autovacuum would do the same some time later.
                await execute(url, f"VACUUM (ANALYZE) {rows.name}")
    sys.stdout.write(
        f"{events:,} events of {users:,} users: seeded in {seeded - began:.0f} s,"
        f" views built in {time.perf_counter() - seeded:.0f} s\n"
    )


async def queries(url: str, given: Given) -> bool:
    """True if each query met the target; prints the times."""
    async with running(url) as client:
        paths_by_name = await questions(client, await sampled(url), given.events)
        slow = 0
        for name, paths in paths_by_name.items():
            if given.only not in name:
                continue
            requests = [request("GET", path, TOKEN) for path in paths]
            await client.at_rate(requests, RATE, _BEFORE_SECONDS)
            times = await client.at_rate(requests, RATE, given.seconds)
            slow += times.p95 > P95_SECONDS
            sys.stdout.write(f"{_line(name, times)}\n")
            sys.stdout.flush()
    sys.stdout.write(
        f"{slow} of {len(paths_by_name)} have a p95 above {1000 * P95_SECONDS:.0f} ms at {RATE}/s\n"
    )
    return slow == 0


async def commands(large: str, small: str, given: Given) -> bool:
    """True if a single command is as fast as in a small directory; prints both times."""
    options = harness.Options(seconds=given.seconds / 2, rounds=_ROUNDS, check=given.check)
    found: list[harness.Comparison] = []
    async with ports(small, large) as (twin, ours):
        paths = {port: await _new_user(port) for port in (twin, ours)}

        def registering(port: int) -> harness.Measured:
            return lambda seconds: _p50(port, _registration, 201, seconds)

        def renaming(port: int) -> harness.Measured:
            return lambda seconds: _p50(port, lambda: _renaming(paths[port]), 200, seconds)

        for name, side in (("POST", registering), ("PATCH", renaming)):
            of_twin, of_ours = await harness.in_turn([side(twin), side(ours)], options)
            subject = f"a single {name} among {given.users:,} users, p50"
            found.append(
                harness.Comparison(
                    subject, of_twin, of_ours, COMMAND_RATIO, " ms", lower_is_better=True
                )
            )
    for comparison in found:
        sys.stdout.write(f"{comparison}\n")
    return all(comparison.is_met for comparison in found)


@asynccontextmanager
async def running(url: str) -> AsyncGenerator[Client]:
    """A client of the API on this database, with a running projector."""
    async with rollbook(url, ["api", "projector"], cached=False) as roles:
        yield Client(roles.port)


@asynccontextmanager
async def ports(*urls: str) -> AsyncGenerator[Sequence[int]]:
    """The port of an API for each database, without a projector."""
    async with rollbook(urls[0], ["api"]) as first, rollbook(urls[1], ["api"]) as second:
        yield first.port, second.port


async def _new_user(port: int) -> str:
    """The path of a new user."""
    reply = await Client(port).ask(_registration(), status=201)
    return f"/v1/users/{json.loads(reply.body)['id']}"


def _registration() -> bytes:
    user = {"name": "Someone", "email": f"{uuid7()}@example.com", "external_id": str(uuid7())}
    return request("POST", "/v1/users", TOKEN, json.dumps(user).encode())


def _renaming(path: str) -> bytes:
    return request("PATCH", path, TOKEN, json.dumps({"name": f"Someone {uuid7()}"}).encode())


async def _p50(port: int, make: MakeRequest, status: int, seconds: float) -> float:
    """The median time of sequential requests, in milliseconds."""
    done = await load(port, make, connections=1, seconds=seconds, statuses=(status,))
    return 1000 * done.p50


def _line(name: str, times: Times) -> str:
    p50, p95, longest = (1000 * each for each in (times.p50, times.p95, times.max))
    late = "  <- slow" if times.p95 > P95_SECONDS else ""
    return f"{name:50} p50 {p50:6.1f} ms  p95 {p95:6.1f} ms  max {longest:6.1f} ms{late}"


if __name__ == "__main__":
    main()
