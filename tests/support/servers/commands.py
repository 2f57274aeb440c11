"""Runs commands in processes that fork from one with all imports: a command costs a tenth of a start."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import IO, Final

import msgspec

from tests.support.processes.commands import LENGTH_BYTES, Request

_idle: Final[list["_CommandServer"]] = []


def run_command(
    *arguments: str, environment: Mapping[str, str], stdin: str, timeout_seconds: float
) -> subprocess.CompletedProcess[str]:
    """Run `rollbook` with these arguments outside the source tree. Raises `TimeoutExpired`."""
    server = _idle.pop() if _idle else _CommandServer(environment)
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
        files[0].write(stdin.encode())
        files[0].seek(0)
        code = server.run(arguments, environment, files, timeout_seconds)
        _idle.append(server)
        _, out, err = (_text_of(file) for file in files)
    return subprocess.CompletedProcess(arguments, code, out, err)


class _CommandServer:
    """See `tests.support.processes.commands`; it ends with this process."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._connection, other = socket.socketpair()
        with other:
            command = (sys.executable, "-P", "-m", "tests.support.processes.commands")
            self._process = subprocess.Popen(
                [*command, str(other.fileno())],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[other.fileno()],
                start_new_session=True,
            )

    def run(
        self,
        arguments: tuple[str, ...],
        environment: Mapping[str, str],
        files: Sequence[IO[bytes]],
        timeout_seconds: float,
    ) -> int:
        """The exit code; after a timeout, the command and this server are killed."""
        request = Request(arguments, dict(environment), "/")
        encoded = msgspec.json.encode(request)
        descriptors = [file.fileno() for file in files]
        socket.send_fds(self._connection, [len(encoded).to_bytes(LENGTH_BYTES)], descriptors)
        self._connection.sendall(encoded)
        self._connection.settimeout(timeout_seconds)
        try:
            answer = self._connection.recv(16)
        except TimeoutError:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            raise subprocess.TimeoutExpired(arguments, timeout_seconds) from None
        assert answer, "the process of the commands ended"
        return int(answer)


def _text_of(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()
