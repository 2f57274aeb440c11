"""`POST /v1/users` with an Idempotency-Key, against a plain table with one INSERT a request.

First the API role alone, which is what the twin does, too; then with all roles at work.
"""

import os
import sys
from collections.abc import Sequence
from itertools import count
from typing import Final

import msgspec

from tests.benchmarks.harness import Comparison, Options, compare, run
from tests.benchmarks.http_load import Load, load, request
from tests.benchmarks.processes import TOKEN, rollbook, twin

CONNECTIONS: Final = 64
_numbers = count(1)


async def commands(url: str, given: Options) -> Sequence[Comparison]:
    """Ours without and with the other roles, each against the same twin."""
    found: list[Comparison] = []
    for subject, roles in (
        ("POST /v1/users, API role alone", ("api",)),
        ("POST /v1/users, projector at work, too", ("api", "projector")),
    ):
        async with twin("crud_twin", url) as twin_port, rollbook(url, roles) as running:
            port = running.port
            late: dict[int, list[Load]] = {twin_port: [], port: []}

            async def registered(seconds: float, port: int, late: dict[int, list[Load]]) -> float:
                answered = await load(
                    port, _registration, connections=CONNECTIONS, seconds=seconds, statuses=(201,)
                )
                late[port].append(answered)
                return answered.per_second

            comparison = await compare(
                subject,
                lambda seconds, port=twin_port, late=late: registered(seconds, port, late),
                lambda seconds, port=port, late=late: registered(seconds, port, late),
                given,
                target=1.0 if roles == ("api",) else 0.0,
            )
            found.append(comparison)
            sys.stdout.write(
                f"{subject}: p99 {_p99(late[port]):.0f} ms, the twin's {_p99(late[twin_port]):.0f} ms\n"
            )
    return found


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


def _p99(loads: Sequence[Load]) -> float:
    return 1000 * sorted(each.p99 for each in loads)[len(loads) // 2]


if __name__ == "__main__":
    run(commands, str(__doc__))
