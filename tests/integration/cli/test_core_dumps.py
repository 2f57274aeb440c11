"""Processes that may hold keys write no core dumps."""

import subprocess
import sys
from typing import Final

import pytest

from tests.support.servers.rollbook import ROOT, rollbook_environment

COMMANDS: Final = (
    "api",
    "projector",
    "worker",
    "up --port 0",
    "keys list",
    "keys rotate",
    "doctor",
    "verify --schemas",
)
# Runs each command in a process of its own; it ends at once because of a wrong setting. Prints how
# the process stands then, as a line of the command.
PROGRAM: Final = """
import ctypes, os, resource, sys
from interfaces.cli.main import app
for command in sys.argv[1:]:
    if (child := os.fork()) == 0:
        try:
            app(command.split(), standalone_mode=False)
        except BaseException:
            pass
        limit = resource.getrlimit(resource.RLIMIT_CORE)
        print(command, limit, ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), flush=True)
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells whether it is dumpable")
def test_no_process_that_reads_the_master_key_can_be_dumped() -> None:
    environment = rollbook_environment(ROLLBOOK_DATABASE_URL="nonsense", ROLLBOOK_MASTER_KEY="?")
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, *COMMANDS],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [f"{command} (0, 0) 0" for command in COMMANDS]
