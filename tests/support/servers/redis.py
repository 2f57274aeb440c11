"""Redis for tests: a given server, or a private one that tests may flush, stop and kill."""

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
from tests.support.run.logs import keep_log
from tests.support.servers.postgres import skip_or_fail
from tests.support.servers.rollbook import until


class _Client(Protocol):
    """The used methods of redis-py's client, with full types."""

    def flushall(self) -> object: ...

    def dbsize(self) -> int: ...

    def close(self) -> None: ...


@contextmanager
def redis_url() -> Generator[str]:
    """The URL of a server for tests that use only their own keys."""
    given = os.environ.get("ROLLBOOK_TEST_REDIS_URL")
    if given:
        yield given
        return
    with private_redis() as server:
        yield server.url


@contextmanager
def private_redis() -> Generator["PrivateRedis"]:
    """A private running server, in memory, on a Unix socket."""
    try:
        program = find_valkey()
    except NoServerFound as error:
        skip_or_fail(str(error))
    directory = Path(tempfile.mkdtemp(prefix="rollbook-redis-"))
    server = PrivateRedis(program, directory)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        keep_log(directory / "server.log")
        shutil.rmtree(directory, ignore_errors=True)


class PrivateRedis:
    """An embedded server that a test controls; a restart does not change `url`."""

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

    def flush(self) -> None:
        """Delete all keys."""
        with closing(_client(self.url)) as client:
            client.flushall()

    def size(self) -> int:
        """The number of keys."""
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
