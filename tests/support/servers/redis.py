"""Redis for tests: the given one, else a private server that tests may flush, stop and kill."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol, cast

from redis import Redis

from infrastructure.embedded.account import current_account
from infrastructure.embedded.errors import NoServerFound
from infrastructure.embedded.process import spawn
from infrastructure.embedded.valkey import find_valkey, listens, server_command
from tests.support.servers.postgres import missing
from tests.support.servers.rollbook import until


class _Client(Protocol):
    """What is used of redis-py's, whose own annotations leave much open."""

    def flushall(self) -> object: ...

    def dbsize(self) -> int: ...

    def close(self) -> None: ...


@contextmanager
def redis_url() -> Generator[str]:
    """A server for tests that keep to keys of their own."""
    given = os.environ.get("ROLLBOOK_TEST_REDIS_URL")
    if given:
        yield given
        return
    with private_redis() as server:
        yield server.url


@contextmanager
def private_redis() -> Generator["PrivateRedis"]:
    """A running server of one's own, in memory, on a Unix socket."""
    try:
        program = find_valkey()
    except NoServerFound as error:
        missing(str(error))
    directory = Path(tempfile.mkdtemp(prefix="rollbook-redis-"))
    server = PrivateRedis(program, directory)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


class PrivateRedis:
    """The embedded server, in the hand of a test; `url` stays the same from start to start."""

    def __init__(self, program: Path, directory: Path) -> None:
        self._socket = directory / "redis.sock"
        self._log = directory / "server.log"
        self._command = server_command(program, directory, self._socket, current_account())
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{self._socket}"

    def start(self) -> None:
        self._process = spawn(self._command, self._log)
        until(lambda: listens(self._socket))

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def empty(self) -> None:
        """Forget every key, as if it were new."""
        with closing(_client(self.url)) as client:
            client.flushall()

    def size(self) -> int:
        """How many keys there are."""
        with closing(_client(self.url)) as client:
            return client.dbsize()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._socket.unlink(missing_ok=True)


def _client(url: str) -> _Client:
    return cast("_Client", Redis.from_url(url))  # pyright: ignore[reportUnknownMemberType]
