"""Processes that may hold keys write no core dumps."""

import subprocess
import sys
from typing import Final

import pytest

from tests.support.servers.rollbook import ROOT, rollbook_environment

# Runs a command, which ends at once because of a wrong setting, then prints how the process stands.
PROGRAM: Final = """
import ctypes, resource, sys
from interfaces.cli.main import app
try:
    app(sys.argv[1:], standalone_mode=False)
except BaseException:
    pass
print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells whether it is dumpable")
@pytest.mark.parametrize(
    "command",
    [
        ("api",),
        ("projector",),
        ("worker",),
        ("up", "--port", "0"),
        ("keys", "list"),
        ("keys", "rotate"),
        ("doctor",),
        ("verify", "--schemas"),
    ],
    ids=" ".join,
)
def test_no_process_that_reads_the_master_key_can_be_dumped(command: tuple[str, ...]) -> None:
    environment = rollbook_environment(ROLLBOOK_DATABASE_URL="nonsense", ROLLBOOK_MASTER_KEY="?")
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, *command],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "(0, 0) 0"
