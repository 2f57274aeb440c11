"""Waiting for child processes."""

import asyncio
import signal
import subprocess
import sys
from subprocess import Popen

import pytest

from infrastructure.embedded.process import end, ended

_SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


class _CountedPopen(Popen[bytes]):
    polls = 0

    def poll(self) -> int | None:
        self.polls += 1
        return super().poll()


async def test_the_end_of_a_process_is_noticed_at_once_with_its_exit_code() -> None:
    waiting = asyncio.create_task(
        ended(subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"]))
    )
    assert await asyncio.wait_for(waiting, 10) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="needs process descriptors")
async def test_waiting_for_a_process_costs_nothing_while_it_runs() -> None:
    process = _CountedPopen(_SLEEP)
    waiting = asyncio.create_task(ended(process))
    await asyncio.sleep(0.5)
    polls = process.polls
    process.kill()
    assert await asyncio.wait_for(waiting, 10) == -signal.SIGKILL
    assert polls == 1


async def test_a_process_that_ignores_a_signal_gets_the_next_one() -> None:
    program = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout is not None
    await asyncio.to_thread(process.stdout.readline)
    process.stdout.close()
    await end(process, signal.SIGTERM, signal.SIGKILL, timeout_seconds=0.3)
    assert process.returncode == -signal.SIGKILL
