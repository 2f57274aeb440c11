"""`rollbook api` with a measured event loop, as a process.

    python -m tests.support.hostile.gap_api REPORT PORT

On SIGUSR1 it writes the longest gaps since the last report to the file: `wall` is the longest time
in which the loop ran nothing else, in seconds, and `busy` the longest time in which the process
itself used the processor meanwhile, without what the system gave to other processes.
"""

import json
import signal
import sys
from pathlib import Path
from time import perf_counter, thread_time
from typing import Final

import uvloop

from interfaces.cli.main import app

_INTERVAL: Final = 0.001


class Gaps:
    def __init__(self, loop: uvloop.Loop, report: Path) -> None:
        self._loop = loop
        self._report = report
        self._wall = self._busy = 0.0
        self._last = (perf_counter(), thread_time())
        loop.add_signal_handler(signal.SIGUSR1, self._write)
        loop.call_soon(self._tick)

    def _tick(self) -> None:
        now = (perf_counter(), thread_time())
        self._wall = max(self._wall, now[0] - self._last[0] - _INTERVAL)
        self._busy = max(self._busy, now[1] - self._last[1])
        self._last = now
        self._loop.call_later(_INTERVAL, self._tick)

    def _write(self) -> None:
        draft = self._report.with_suffix(".new")
        draft.write_text(json.dumps({"wall": self._wall, "busy": self._busy}))
        draft.replace(self._report)
        self._wall = self._busy = 0.0
        self._last = (perf_counter(), thread_time())


def main(report: Path, port: str) -> None:
    new_event_loop = uvloop.new_event_loop

    def measured() -> uvloop.Loop:
        loop = new_event_loop()
        Gaps(loop, report)
        return loop

    uvloop.new_event_loop = measured
    app(["api", "--port", port])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
