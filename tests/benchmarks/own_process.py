"""What is measured in a process of its own: its memory is what this alone took."""

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
    """`events`, `check` and `inside`: the database of the process that is measured, if this is it."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--events", type=int, default=events)
    parser.add_argument("--check", action="store_true", help="exit with 1 below a target")
    parser.add_argument("--inside", metavar="URL", help=argparse.SUPPRESS)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    return parser.parse_args()


def measured(module: str, url: str) -> dict[str, Any]:
    """What a module's `report` prints in a process of its own."""
    command = [sys.executable, "-P", "-m", f"tests.benchmarks.{module}", "--inside", url]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def report(measure: Callable[[str], Coroutine[Any, Any, dict[str, Any]]], url: str) -> None:
    """Print what was measured, and the `megabytes` this process had at most."""
    found = uvloop.run(measure(url))
    sys.stdout.write(json.dumps({**found, "megabytes": _most_memory()}) + "\n")


def _most_memory() -> float:
    # `ru_maxrss` would know of who started it.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
