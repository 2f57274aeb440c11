"""Child processes that outlive the event loop they were started in."""

import asyncio
import signal
import subprocess
from typing import Final

POLL_SECONDS: Final = 0.02


async def ended(process: subprocess.Popen[bytes]) -> int:
    """Return when the process ended, with its exit code (negative: the signal that ended it)."""
    # Polled, because asyncio's own child processes belong to the event loop that made them.
    while (code := process.poll()) is None:  # noqa: ASYNC110 (there is no event to wait for)
        await asyncio.sleep(POLL_SECONDS)
    return code


async def end(process: subprocess.Popen[bytes], *signals: signal.Signals, patience: float) -> None:
    """Send one signal after the other until the process ended, each with that many seconds."""
    for one in signals:
        process.send_signal(one)
        try:
            async with asyncio.timeout(patience):
                await ended(process)
        except TimeoutError:
            continue
        return
