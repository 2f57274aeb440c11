"""Finds and stops a Postgres server that outlived the process that started it."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

POLL_SECONDS: Final = 0.05
FAST_SECONDS: Final = 30.0
IMMEDIATE_SECONDS: Final = 10.0


def end_orphan(data: Path, socket_lock: Path) -> None:
    """Returns when no server runs on this data, and no lock file names a running process.

    Call it with the directory locked: a server that still runs has lost its supervisor. It shuts
    down by itself or gets a signal. After that the lock file may still name an existing process:
    a dead server that its parent has not reaped, or an unrelated process, because process numbers
    start again in a new container.
    """
    shutdowns = ((signal.SIGINT, FAST_SECONDS), (signal.SIGQUIT, IMMEDIATE_SECONDS))
    for shutdown, timeout_seconds in shutdowns:
        deadline = time.monotonic() + timeout_seconds
        signalled = False
        while (server := running_server(data)) is not None and time.monotonic() < deadline:
            if not signalled:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(server, shutdown)
                signalled = True
            time.sleep(POLL_SECONDS)
    if running_server(data) is None:
        socket_lock.unlink(missing_ok=True)
        other = pid_in_lock_file(data)
        if other is not None and is_alive(other):
            write_own_pid(data / "postmaster.pid")


def write_own_pid(lock: Path) -> None:
    """Write our process number into the lock file: a server treats its parent's number as stale.

    The file stays, because it names the shared memory that the server checks for old sessions.
    """
    with lock.open("r+") as file:
        _, rest = file.read().split("\n", 1)
        file.seek(0)
        file.write(f"{os.getpid()}\n{rest}")
        file.truncate()


def running_server(data: Path) -> int | None:
    """The process of the server that runs on this data."""
    process = pid_in_lock_file(data)
    if process is None or str(data) not in command_of(process):
        return None
    return process


def pid_in_lock_file(data: Path) -> int | None:
    """The process number in the server's own lock file."""
    try:
        return int((data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def command_of(process: int) -> list[str]:
    """The words of a process's command line; empty if it has ended."""
    if Path("/proc/self").exists():
        try:
            return (
                Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace").split("\0")
            )
        except (FileNotFoundError, ProcessLookupError):
            return []
    answer = subprocess.run(
        ["ps", "-o", "command=", "-p", str(process)], capture_output=True, text=True, check=False
    )
    return answer.stdout.split()
