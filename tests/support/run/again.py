"""Runs what failed beside other tests once more, by itself.

Many tests wait for something for a bounded time, on a machine that others of them keep busy. What
fails twice has failed, and so has a run in which many did, or that came to no end.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

MAX: Final = 5


class Failures:
    """A plug-in that leaves the names of what failed, a worker that hung or died with it included."""

    def __init__(self, directory: Path) -> None:
        self._file = failures_in(directory)
        self._failed: dict[str, None] = {}

    def pytest_sessionstart(self) -> None:
        self._file.unlink(missing_ok=True)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed[report.nodeid] = None

    def pytest_sessionfinish(self) -> None:
        self._file.parent.mkdir(exist_ok=True)
        self._file.write_text("\n".join(self._failed))


def failures_in(directory: Path) -> Path:
    """Where the names are left, one a line."""
    return directory / ".pytest_cache" / "failed"


def main(code: str, timeout: str) -> int:
    """The exit code of all, after a first run that ended with `code`.

    `timeout`: seconds for one test.
    """
    file = failures_in(Path.cwd())
    failed = file.read_text().splitlines() if file.exists() else []
    # With another code not all tests were run.
    if int(code) != pytest.ExitCode.TESTS_FAILED or not 0 < len(failed) <= MAX:
        return int(code)
    sys.stdout.write(f"\nOnce more, by themselves, what failed beside others: {len(failed)}\n")
    sys.stdout.flush()
    limits = (f"faulthandler_timeout={timeout}", "faulthandler_exit_on_timeout=true")
    options = [option for limit in limits for option in ("-o", limit)]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *failed], check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
