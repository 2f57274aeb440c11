"""Runs one role of Rollbook as a process, on a migrated database."""

import re
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.support.run.logs import new_log
from tests.support.servers.rollbook import rollbook_command, rollbook_environment, until


@contextmanager
def role(name: str, **settings: str) -> Generator[Path]:
    """A process with this role that is ready, as its log; an API takes a free port."""
    log = new_log(name)
    with log.open("wb") as output:
        process = subprocess.Popen(
            rollbook_command(name, *(["--port", "0"] if name == "api" else [])),
            env=rollbook_environment(**settings),
            stderr=output,
            cwd="/",
        )
    try:
        until(lambda: '"ready"' in log.read_text(), 60)
        yield log
    finally:
        process.terminate()
        process.wait(timeout=30)


def address_in(log: Path) -> str:
    """The address of an API, from its log."""
    found = re.search(r'"port":(\d+)', log.read_text())
    assert found is not None
    return f"http://127.0.0.1:{found[1]}"
