"""Retries the failed tests of a run, without other tests beside them.

Many tests wait with a timeout, and other tests keep the machine busy. The run fails if a test fails
twice, if more than `MAX_RETRIED` tests fail, or if the first run was not complete.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

MAX_RETRIED: Final = 5


class Failures:
    """A plug-in that stores the names of the failed tests, also of those whose worker died."""

    def __init__(self, directory: Path) -> None:
        self._file = failures_file(directory)
        self._failed: dict[str, None] = {}

    def pytest_sessionstart(self) -> None:
        self._file.unlink(missing_ok=True)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed[report.nodeid] = None

    def pytest_sessionfinish(self) -> None:
        self._file.parent.mkdir(exist_ok=True)
        self._file.write_text("\n".join(self._failed))


def failures_file(directory: Path) -> Path:
    """The file that stores the names, one per line."""
    return directory / ".pytest_cache" / "failed"


def main(code: str, timeout: str) -> int:
    """Retry the failed tests; the exit code of the whole run.

    `code`: the exit code of the first run. `timeout`: seconds for one test.
    """
    file = failures_file(Path.cwd())
    failed = file.read_text().splitlines() if file.exists() else []
    # Another exit code means that not all tests ran.
    if int(code) != pytest.ExitCode.TESTS_FAILED or not 0 < len(failed) <= MAX_RETRIED:
        return int(code)
    sys.stdout.write(f"\nOnce more, without other tests: {len(failed)} failed tests\n")
    sys.stdout.flush()
    limits = (f"faulthandler_timeout={timeout}", "faulthandler_exit_on_timeout=true")
    options = [option for limit in limits for option in ("-o", limit)]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *failed], check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
