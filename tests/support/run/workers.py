"""Several workers run the tests, each one file at a time. A test that measures time runs alone."""

import fcntl
import os
from collections.abc import Generator
from pathlib import Path

import pytest


def shared_directory(config: pytest.Config) -> Path | None:
    """The folder that all workers of this run share; None if there are no workers."""
    # The workers' temporary folders have the same parent.
    own = config.getoption("basetemp") if hasattr(config, "workerinput") else None
    return Path(own).parent if own else None


class Workers:
    """A plug-in of each worker: each test holds the lock of the run, some of them alone."""

    def __init__(self, shared: Path) -> None:
        self._lock = ReadWriteLock(shared / "lock")
        self._keeps_lock = False

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        alone = is_alone(item)
        if not self._keeps_lock:
            self._lock.acquire(exclusive=alone)
        self._keeps_lock = alone and nextitem is not None and is_alone(nextitem)
        try:
            return (yield)
        finally:
            if not self._keeps_lock:
                self._lock.release()


class ReadWriteLock:
    """A file lock for any number of processes at once, or for one process alone."""

    def __init__(self, directory: Path) -> None:
        """Processes that share the lock pass the same directory."""
        directory.mkdir(exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._queue = os.open(directory / "queue", flags)
        self._lock = os.open(directory / "lock", flags)

    def acquire(self, *, exclusive: bool) -> None:
        """Return when the process has the lock. The kernel releases it if the process ends."""
        # A process that waits for the exclusive lock holds the queue, so later ones wait behind it.
        fcntl.flock(self._queue, fcntl.LOCK_EX)
        fcntl.flock(self._lock, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        fcntl.flock(self._queue, fcntl.LOCK_UN)

    def release(self) -> None:
        fcntl.flock(self._lock, fcntl.LOCK_UN)


def is_alone(item: pytest.Item) -> bool:
    """Whether the test measures time, and so runs alone."""
    return item.get_closest_marker("alone") is not None
