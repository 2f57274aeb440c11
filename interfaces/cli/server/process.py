"""A process of the application as its supervisor sees it: all roles, or some."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from infrastructure.embedded.process import end, ended
from interfaces.cli.server.supervisor import ServerFailed
from interfaces.roles import Roles, in_order

WRONG_SETTING: Final = 2  # the exit code of a command that printed one
START_SECONDS: Final = 300.0  # migrations and a long catch-up belong to the start
DRAIN_SECONDS: Final = 30.0

# If the supervisor is killed, nothing restarts the process or its database.
DIE_WITH_PARENT: Final = ("setpriv", "--pdeathsig", "KILL", "--")


class ApplicationEnded(ServerFailed):
    """The process ended while it started."""

    def __init__(self, name: str, code: int) -> None:
        self.code = code
        self.names_setting = code == WRONG_SETTING
        super().__init__(f"the {name} did not start (exit code {code}): see the lines above")


class ApplicationProcess:
    """`rollbook serve` as a child process; with the role `api`, it serves our listener.

    Its standard input is a socket to us: it writes one byte there when it is ready, and ends when
    we are gone. Its settings and secrets are in its environment, because every user can read argv.
    """

    def __init__(
        self,
        listener: socket.socket | None,
        environment: Mapping[str, str],
        roles: Roles,
        high_water_file: Path | None = None,
    ) -> None:
        self._listener = listener
        self._environment = environment
        self._roles = roles
        self._high_water_file = high_water_file
        self._process: subprocess.Popen[bytes] | None = None
        self._child_socket: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.poll() is None else None

    async def start(self) -> None:
        """Start it; return when it is ready. Raises `ApplicationEnded`."""
        self._close_socket()
        restarted = self._process is not None
        self._child_socket, parent_socket = socket.socketpair()
        self._child_socket.setblocking(False)
        with parent_socket:
            self._process = spawn(
                self._roles,
                self._listener,
                parent_socket,
                self._environment,
                self._high_water_file,
                restarted=restarted,
            )
        ready = b""
        try:
            async with asyncio.timeout(START_SECONDS):
                ready = await asyncio.get_running_loop().sock_recv(self._child_socket, 1)
        except (TimeoutError, ConnectionError):
            await self.stop()
        if not ready:
            raise ApplicationEnded(name_of(self._roles), await self.wait())

    async def wait(self) -> int:
        return await ended(self._process) if self._process else 0

    async def stop(self) -> None:
        """Let it drain, then end it."""
        if self._process is not None:
            await end(self._process, signal.SIGTERM, signal.SIGKILL, timeout_seconds=DRAIN_SECONDS)
        self._close_socket()

    def _close_socket(self) -> None:
        if self._child_socket is not None:
            self._child_socket.close()
            self._child_socket = None


def name_of(roles: Roles) -> str:
    """The name of a process with these roles."""
    return "application" if len(roles) > 1 else "".join(roles)


def spawn(
    roles: Roles,
    listener: socket.socket | None,
    parent_socket: socket.socket,
    environment: Mapping[str, str],
    high_water_file: Path | None,
    *,
    restarted: bool,
) -> subprocess.Popen[bytes]:
    """Start it in its own session: Ctrl-C reaches only the supervisor, which drains."""
    bound = DIE_WITH_PARENT if shutil.which("setpriv") else ()
    program = (sys.executable, "-P", "-m", "interfaces.cli.main", "serve")
    options = [f"--roles={','.join(in_order(roles))}"]
    if listener is not None:
        options.append(f"--socket={listener.fileno()}")
    if high_water_file is not None:
        options.append(f"--high-water={high_water_file}")
    if restarted:
        options.append("--restarted")
    return subprocess.Popen(
        [*bound, *program, *options],
        stdin=parent_socket.fileno(),
        pass_fds=[] if listener is None else [listener.fileno()],
        env={**os.environ, **environment, "PYTHONSAFEPATH": "1"},
        start_new_session=True,
    )
