"""The folder of all logs of a test run: what processes write is scanned when the run ends.

The main process of the run creates it; the workers find it in their environment.
"""

import atexit
import os
import shutil
import tempfile
from functools import cache
from itertools import count
from pathlib import Path
from typing import Final

import structlog

from interfaces.logging import describe_exception, to_text

FOLDER: Final = "ROLLBOOK_TEST_LOGS"
"""The variable that names the folder."""
SECRETS: Final = "secrets"
"""The file of the folder that holds the registered secrets, one per line."""
_numbers: Final = count()


@cache
def log_folder() -> Path:
    """The folder of this run; a private one if no run has made one, as in a benchmark."""
    given = os.environ.get(FOLDER)
    if given is not None:
        return Path(given)
    folder = Path(tempfile.mkdtemp(prefix="rollbook-logs-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def new_log(name: str) -> Path:
    """An empty file for the output of one process; it stays until the end of the run."""
    log = log_folder() / f"{name}-{os.getpid()}-{next(_numbers)}.log"
    log.touch(mode=0o600)
    return log


def keep_log(log: Path) -> Path | None:
    """A copy of the log of a server whose directory a test deletes; None if it wrote none."""
    if not log.exists():
        return None
    return shutil.copyfile(log, new_log(f"{log.parent.name}-{log.stem}"))


def keep_output(name: str, output: str) -> None:
    """Keep the output of a process that a test has read."""
    if output:
        new_log(name).write_text(output)


def log_to_captured_output() -> None:
    """Log lines of the tests' own process have the form of production, in pytest's captured output."""
    structlog.reset_defaults()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            describe_exception,
            structlog.processors.JSONRenderer(serializer=to_text),
        ]
    )


def register_secret(*secrets: str) -> None:
    """Remember values that no log of this run may contain; those that a test generated itself."""
    with (log_folder() / SECRETS).open("a") as file:
        file.writelines(f"{secret}\n" for secret in secrets)
