"""Several workers run the tests, one file at a time each; a test that measures time runs alone."""

import fcntl
import os
from collections.abc import Generator
from pathlib import Path

import pytest


def shared_directory(config: pytest.Config) -> Path | None:
    """The folder that all workers of this run share; None if there are no workers."""
    # A worker's temporary files lie beside those of the others.
    own = config.getoption("basetemp") if hasattr(config, "workerinput") else None
    return Path(own).parent if own else None


class Workers:
    """A plug-in of each worker: its tests wait for their turn on the machine."""

    def __init__(self, shared: Path) -> None:
        self._machine = Place(shared / "machine")
        self._stays = False

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        alone = is_alone(item)
        if not self._stays:
            self._machine.enter(alone=alone)
        self._stays = alone and nextitem is not None and is_alone(nextitem)
        try:
            return (yield)
        finally:
            if not self._stays:
                self._machine.leave()


class Place:
    """A lock for any number of processes at a time, or for one process alone."""

    def __init__(self, directory: Path) -> None:
        """Processes that share the lock name the same directory."""
        directory.mkdir(exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._door = os.open(directory / "door", flags)
        self._room = os.open(directory / "room", flags)

    def enter(self, *, alone: bool) -> None:
        """Return once the process has the lock. The kernel releases it if the process ends."""
        # A process that waits to be alone holds the door: later ones stay behind it.
        fcntl.flock(self._door, fcntl.LOCK_EX)
        fcntl.flock(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(self._door, fcntl.LOCK_UN)

    def leave(self) -> None:
        fcntl.flock(self._room, fcntl.LOCK_UN)


def is_alone(item: pytest.Item) -> bool:
    """Whether the test measures time."""
    return item.get_closest_marker("alone") is not None
