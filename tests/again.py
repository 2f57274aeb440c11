"""Runs what failed beside other tests once more, by itself.

Many tests wait for something for a bounded time, on a machine that others of them keep busy. What
fails twice has failed, and so has a run in which many did.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

LAST_FAILED: Final = Path(".pytest_cache/v/cache/lastfailed")
MOST: Final = 5


def main(timeout: str) -> int:
    """The exit code of the whole run. `timeout`: seconds for one test."""
    failed = list(json.loads(LAST_FAILED.read_text())) if LAST_FAILED.exists() else []
    if not 0 < len(failed) <= MOST:
        return 1
    sys.stdout.write(f"\nOnce more, by themselves, what failed beside others: {len(failed)}\n")
    sys.stdout.flush()
    limits = (f"faulthandler_timeout={timeout}", "faulthandler_exit_on_timeout=true")
    options = [option for limit in limits for option in ("-o", limit)]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *failed], check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
