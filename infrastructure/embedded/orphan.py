"""A Postgres server that outlived the process that started it: find it, and let it end."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

POLL_SECONDS: Final = 0.05
FAST_SECONDS: Final = 30.0
AT_ONCE_SECONDS: Final = 10.0


def end_orphan(data: Path, socket_lock: Path) -> None:
    """Return when no server runs on these data any more, and none seems to.

    Call it with the directory locked: a server that still runs has lost its supervisor, and shuts
    down already or is told to. After that no lock file may name a process that is there all the
    same: a dead server nobody has waited for yet, or a stranger, for process numbers start again
    with a container.
    """
    for end, timeout_seconds in ((signal.SIGINT, FAST_SECONDS), (signal.SIGQUIT, AT_ONCE_SECONDS)):
        deadline = time.monotonic() + timeout_seconds
        told = False
        while (server := live_server(data)) is not None and time.monotonic() < deadline:
            if not told:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(server, end)
                told = True
            time.sleep(POLL_SECONDS)
    if live_server(data) is None:
        socket_lock.unlink(missing_ok=True)
        stranger = noted_process(data)
        if stranger is not None and is_alive(stranger):
            sign(data / "postmaster.pid")


def sign(lock: Path) -> None:
    """Put our number into the server's lock file: a server takes its parent's for a stale one.

    The file stays, for it names the memory in which the server looks for sessions that are left.
    """
    with lock.open("r+") as file:
        _, rest = file.read().split("\n", 1)
        file.seek(0)
        file.write(f"{os.getpid()}\n{rest}")
        file.truncate()


def live_server(data: Path) -> int | None:
    """The process of the server that runs on these data."""
    process = noted_process(data)
    if process is None or str(data) not in command_of(process):
        return None
    return process


def noted_process(data: Path) -> int | None:
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
    """The words of a process's command line; none where it ended."""
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
