"""Child processes that outlive the event loop they were started in."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from infrastructure.embedded.ownership import open_beside

POLL_SECONDS: Final = 0.02
_LOG_BYTES: Final = 10 * 1024 * 1024


def spawn(
    command: Sequence[str], log: Path, given: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a process in the `given` environment, else in a minimal one.

    It has its own session: a Ctrl-C in the terminal reaches only us, and we stop the process.
    """
    output = open_beside(log, os.O_WRONLY | os.O_APPEND)
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment() if given is None else given,
            start_new_session=True,
        )
    finally:
        os.close(output)


def rotate_log(log: Path) -> None:
    """Start a new log file if the log is larger than 10 MB; one old file is kept."""
    if log.exists() and log.stat().st_size > _LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))


def environment() -> dict[str, str]:
    """Only our search path is passed on: PGDATA or PGOPTIONS would change the server."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"}


async def ended(process: subprocess.Popen[bytes]) -> int:
    """Wait until the process ends; its exit code (negative: the signal that ended it)."""
    # asyncio's own child processes belong to the event loop that started them.
    while (code := process.poll()) is None:
        await _may_have_ended(process.pid)
    return code


async def _may_have_ended(pid: int) -> None:
    """Wait for the end of a child that is not yet reaped; without pidfds, for a moment only."""
    try:
        descriptor = os.pidfd_open(pid)
    except (AttributeError, OSError):
        await asyncio.sleep(POLL_SECONDS)
        return
    loop, has_ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, has_ended.set)
    try:
        await has_ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def end(
    process: subprocess.Popen[bytes], *signals: signal.Signals, timeout_seconds: float
) -> None:
    """Send one signal after another until the process ends; each gets `timeout_seconds`."""
    for one in signals:
        process.send_signal(one)
        try:
            async with asyncio.timeout(timeout_seconds):
                await ended(process)
        except TimeoutError:
            continue
        return
