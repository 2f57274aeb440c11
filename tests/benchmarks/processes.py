"""The processes that a benchmark over HTTP measures: Rollbook's roles, and twins."""

import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from infrastructure.embedded.valkey import EmbeddedValkey
from tests.support.servers.postgres import MASTER_KEYS
from tests.support.servers.rollbook import (
    ROOT,
    end_with_parent,
    rollbook_command,
    rollbook_environment,
    until,
)

TOKEN: Final = "a-token-for-benchmarks-of-32-characters"
_SLOW_POLL: Final = "tests.support.processes.slow_poll"


class RunningRoles(Struct, frozen=True):
    """The port of the API, and the URL of its Redis."""

    port: int
    redis_url: str


@asynccontextmanager
async def rollbook(
    url: str,
    roles: Sequence[str],
    *,
    amqp_url: str | None = None,
    cached: bool = True,
    slow_poll: bool = False,
) -> AsyncGenerator[RunningRoles]:
    """Runs the API on this database, and `projector` or `relay`, one process per role.

    Without `cached`, a Redis runs, but no role uses it. With `slow_poll`, projector and worker do
    not notice an event of which no bell tells them.
    """
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        valkey = EmbeddedValkey(Path(directory))
        await valkey.start()
        settings = {
            "ROLLBOOK_DATABASE_URL": url,
            "ROLLBOOK_REDIS_URL": valkey.url,
            "ROLLBOOK_MASTER_KEY": MASTER_KEYS,
            "ROLLBOOK_ADMIN_TOKEN": TOKEN,
            "ROLLBOOK_LOG_LEVEL": "error",
            "ROLLBOOK_ALLOW_UNSAFE_TARGETS": "true",
            # Each request is counted, and none is refused.
            "ROLLBOOK_RATE_LIMIT": "1000000",
        }
        if not cached:
            del settings["ROLLBOOK_REDIS_URL"]
        if amqp_url is not None:
            settings["ROLLBOOK_AMQP_URL"] = amqp_url
        try:
            with ExitStack() as stack:
                api = rollbook_command("api", "--port", str(port))
                stack.enter_context(_running(api, port, **settings))
                for role in roles:
                    if role != "api":
                        command = rollbook_command(role)
                        if slow_poll and role in ("projector", "worker"):
                            command = [sys.executable, "-P", "-m", _SLOW_POLL, role]
                        stack.enter_context(_running(command, port, **settings))
                yield RunningRoles(port, valkey.url)
        finally:
            await valkey.stop()


@asynccontextmanager
async def twin(module: str, *arguments: str) -> AsyncGenerator[int]:
    """Runs a module of this folder as a process; yields its port, which is its last argument."""
    port = free_port()
    program = [sys.executable, "-P", "-m", f"tests.benchmarks.{module}", *arguments, str(port)]
    with _running(program, port):
        yield port


@contextmanager
def _running(program: Sequence[str], port: int, **settings: str) -> Generator[None]:
    """Runs a program until the context ends; yields when the port answers."""
    environment = rollbook_environment(**settings)
    with subprocess.Popen(
        program, env=environment, cwd=ROOT, preexec_fn=end_with_parent
    ) as process:
        until(lambda: _answers(port), 30)
        try:
            yield
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
