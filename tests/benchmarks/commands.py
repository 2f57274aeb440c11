"""`POST /v1/users` with an Idempotency-Key over 64 connections, against two twins.

One twin is a plain table of users with one INSERT per request; the other gives the same guarantees
row by row. The first run has the API role alone, one process like each twin; the second run has
projector and relay at work on the same cores.
"""

import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from itertools import count
from typing import Final

import msgspec

from tests.benchmarks.harness import Comparison, Options, in_turn, run
from tests.benchmarks.http_load import Load, load, request
from tests.benchmarks.processes import TOKEN, rollbook, twin
from tests.support.servers.rabbit import rabbit_node

CONNECTIONS: Final = 64
PLAIN_TARGET: Final = 1.2
PROMISES_TARGET: Final = 2.0
_TWINS: Final = (("a plain INSERT", PLAIN_TARGET), ("the same promises", PROMISES_TARGET))
_numbers = count(1)

Side = Callable[[float], Awaitable[Load]]


async def commands(url: str, given: Options) -> Sequence[Comparison]:
    """Compares ours with both twins, without and with the other roles."""
    with ExitStack() as stack:
        amqp_url = os.environ.get("ROLLBOOK_TEST_AMQP_URL")
        amqp_url = amqp_url or stack.enter_context(rabbit_node()).url
        return [
            *await _compare_with_twins(url, given, "API role alone", ("api",)),
            *await _compare_with_twins(
                url, given, "all at work", ("api", "projector", "relay"), amqp_url, enforce=False
            ),
        ]


async def _compare_with_twins(
    url: str,
    given: Options,
    subject: str,
    roles: Sequence[str],
    amqp_url: str | None = None,
    *,
    enforce: bool = True,
) -> Sequence[Comparison]:
    async with (
        twin("crud_twin", url) as plain,
        twin("promises_twin", url) as promises,
        rollbook(url, roles, amqp_url=amqp_url) as running,
    ):
        sides = [_registering(port) for port in (plain, promises, running.port)]
        *twins, ours = await in_turn(sides, given)
    found: list[Comparison] = []
    for (name, target), theirs in zip(_TWINS, twins, strict=True):
        found += [
            Comparison(
                f"{subject}, against {name}",
                [each.per_second for each in theirs],
                [each.per_second for each in ours],
                target if enforce else 0.0,
            ),
            *(
                Comparison(
                    f"{subject}, against {name}, {percentile}",
                    [1000 * getattr(each, percentile) for each in theirs],
                    [1000 * getattr(each, percentile) for each in ours],
                    1.0 if enforce and percentile == "p99" else 0.0,
                    unit=" ms",
                    lower_is_better=enforce and percentile == "p99",
                )
                for percentile in ("p50", "p99")
            ),
        ]
    return found


def _registering(port: int) -> Side:
    async def register(seconds: float) -> Load:
        return await load(
            port, _registration, connections=CONNECTIONS, seconds=seconds, statuses=(201,)
        )

    return register


def _registration() -> bytes:
    number = next(_numbers)
    body = msgspec.json.encode(
        {
            "name": f"Åsa Öberg {number}",
            "email": f"asa.oberg.{os.getpid()}.{number}@example.com",
            "role": "member",
            "attributes": {"team": "maps", "floor": 3},
        }
    )
    key = f"benchmark-{os.getpid()}-{number}"
    return request("POST", "/v1/users", TOKEN, body, Idempotency_Key=key)


if __name__ == "__main__":
    run(commands, str(__doc__))
