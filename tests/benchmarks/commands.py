"""`POST /v1/users` with an Idempotency-Key, against a plain table with one INSERT a request.

First the API role alone, which is what the twin does, too; then with all roles at work.
"""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from typing import Final

import msgspec

from infrastructure.embedded.valkey import EmbeddedValkey
from tests.benchmarks.harness import Comparison, Options, compare, run
from tests.benchmarks.http_load import Load, load, request
from tests.running import ROOT, rollbook_command, rollbook_environment, until
from tests.servers import MASTER_KEYS

CONNECTIONS: Final = 64
TOKEN: Final = "a-token-for-benchmarks-of-32-characters"
_numbers = count(1)


async def commands(url: str, given: Options) -> Sequence[Comparison]:
    """Ours without and with the other roles, each against the same twin."""
    found: list[Comparison] = []
    for subject, roles in (
        ("POST /v1/users, API role alone", ("api",)),
        ("POST /v1/users, projector at work, too", ("api", "projector")),
    ):
        async with _twin(url) as twin_port, _rollbook(url, roles) as port:
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


@asynccontextmanager
async def _twin(url: str) -> AsyncGenerator[int]:
    port = _free_port()
    program = [sys.executable, "-P", "-m", "tests.benchmarks.crud_twin", url, str(port)]
    with _running(program, port):
        yield port


@asynccontextmanager
async def _rollbook(url: str, roles: Sequence[str]) -> AsyncGenerator[int]:
    port = _free_port()
    with tempfile.TemporaryDirectory() as directory:
        valkey = EmbeddedValkey(Path(directory))
        await valkey.start()
        settings = {
            "ROLLBOOK_DATABASE_URL": url,
            "ROLLBOOK_REDIS_URL": valkey.url,
            "ROLLBOOK_MASTER_KEY": MASTER_KEYS,
            "ROLLBOOK_ADMIN_TOKEN": TOKEN,
            "ROLLBOOK_LOG_LEVEL": "error",
        }
        try:
            with _running(rollbook_command("api", "--port", str(port)), port, **settings):
                if "projector" not in roles:
                    yield port
                    return
                with _running(rollbook_command("projector"), port, **settings):
                    yield port
        finally:
            await valkey.stop()


@contextmanager
def _running(program: Sequence[str], port: int, **settings: str) -> Generator[None]:
    """A program of the benchmark, from when the port answers until the context ends."""
    environment = rollbook_environment(**settings)
    with subprocess.Popen(program, env=environment, cwd=ROOT) as process:
        until(lambda: _answers(port), 30)
        try:
            yield
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    run(commands, str(__doc__))
