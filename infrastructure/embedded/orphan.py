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


def end_orphan(data: Path) -> None:
    """Return when no server runs on these data any more, and none seems to.

    Call it with the directory locked: a server that still runs has lost its supervisor, and shuts
    down already or is told to. After that a lock file whose process is a stranger, which happens
    when process numbers start again with a container, is taken away.
    """
    for end, patience in ((signal.SIGINT, FAST_SECONDS), (signal.SIGQUIT, AT_ONCE_SECONDS)):
        deadline = time.monotonic() + patience
        told = False
        while (server := live_server(data)) is not None and time.monotonic() < deadline:
            if not told:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(server, end)
                told = True
            time.sleep(POLL_SECONDS)
    stranger = noted_process(data)
    if stranger is not None and live_server(data) is None and is_alive(stranger):
        (data / "postmaster.pid").unlink(missing_ok=True)


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
