"""A process that has imported Rollbook's commands and forks for each one, which saves its imports.

Run as `python -P -m tests.support.processes.commands SOCKET`, the descriptor of a socket. A request
is its length in four bytes, which bring the three standard files as descriptors, then JSON; the
answer is the exit code in one line.
"""

import gc
import os
import socket
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import msgspec

LENGTH_BYTES: Final = 4
# What most commands import when they run.
_PRELOADED: Final = (
    "interfaces.cli.main",
    "interfaces.cli.doctor",
    "interfaces.cli.server.serve",
    "interfaces.cli.webhooks.run",
    "interfaces.composition.shared",
)


class Request(msgspec.Struct, frozen=True):
    """What a new process gets: its arguments, its whole environment, and its directory."""

    arguments: Sequence[str]
    environment: dict[str, str]
    directory: str


def main(connection: socket.socket) -> None:
    """Serve one request after another until the other end is closed."""
    for module in _PRELOADED:
        import_module(module)
    # A collection in a child would copy the pages that it shares with this process.
    gc.freeze()
    while True:
        length, files, _, _ = socket.recv_fds(connection, LENGTH_BYTES, 3)
        if not length:
            return
        data = connection.recv(int.from_bytes(length), socket.MSG_WAITALL)
        request = msgspec.json.decode(data, type=Request)
        child = os.fork()
        if child == 0:
            connection.close()
            _run(request, files)
        for file in files:
            os.close(file)
        _, status = os.waitpid(child, 0)
        connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


def _run(request: Request, files: Sequence[int]) -> None:
    """Run the command in this process and end it, without returning to the loop."""
    code = 1
    try:
        for standard, file in enumerate(files):
            os.dup2(file, standard)
        os.environ.clear()
        os.environ.update(request.environment)
        os.chdir(request.directory)
        sys.argv[1:] = request.arguments
        # The tests import this module, too, and need no command.
        from interfaces.cli.main import app

        app()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
