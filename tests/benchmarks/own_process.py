"""Runs a measurement in a separate process, so that its peak memory is that of the work alone."""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import structlog
import uvloop


def options(title: str | None, events: int) -> argparse.Namespace:
    """The options `events`, `check` and `inside`, a database URL given to the separate process."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--events", type=int, default=events)
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    parser.add_argument("--inside", metavar="URL", help=argparse.SUPPRESS)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    return parser.parse_args()


def measure_in_process(module: str, url: str) -> dict[str, Any]:
    """Runs a module in a separate process and returns what its `report` prints."""
    command = [sys.executable, "-P", "-m", f"tests.benchmarks.{module}", "--inside", url]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def report(measure: Callable[[str], Coroutine[Any, Any, dict[str, Any]]], url: str) -> None:
    """Prints the result as JSON, with the peak memory of this process as `megabytes`."""
    found = uvloop.run(measure(url))
    sys.stdout.write(json.dumps({**found, "megabytes": _peak_memory()}) + "\n")


def _peak_memory() -> float:
    # `ru_maxrss` would include the memory of the parent process.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
