"""Several workers run the tests, a file each at a time; what measures time gets the machine alone."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

# What takes long begins first, so that the workers end together.
_LONG: Final = ("tests/e2e/", "tests/integration/")


def shared_directory(config: pytest.Config) -> Path | None:
    """Where the workers of this run meet; None where there are none."""
    # A worker's temporary files lie beside those of the others.
    own = config.getoption("basetemp") if hasattr(config, "workerinput") else None
    return Path(own).parent if own else None


class Workers:
    """A plug-in of each worker: who may work when."""

    def __init__(self, shared: Path) -> None:
        self._machine = Place(shared / "machine")
        self._stays = False

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=_turn)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        alone = _is_alone(item)
        if not self._stays:
            self._machine.enter(alone=alone)
        self._stays = alone and nextitem is not None and _is_alone(nextitem)
        try:
            return (yield)
        finally:
            if not self._stays:
                self._machine.leave()


class Place:
    """A place for any number of processes at a time, or for one alone."""

    def __init__(self, directory: Path) -> None:
        """Those that share it name the same directory."""
        directory.mkdir(exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._door = os.open(directory / "door", flags)
        self._room = os.open(directory / "room", flags)

    def enter(self, *, alone: bool) -> None:
        """Return once it may be used. The kernel lets go where a process ends."""
        # Who waits to be alone waits in the door: nobody comes in before the others have left.
        fcntl.flock(self._door, fcntl.LOCK_EX)
        fcntl.flock(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(self._door, fcntl.LOCK_UN)

    def leave(self) -> None:
        fcntl.flock(self._room, fcntl.LOCK_UN)

    @contextmanager
    def alone(self) -> Generator[None]:
        self.enter(alone=True)
        try:
            yield
        finally:
            self.leave()


def _is_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker("alone") is not None


def _turn(item: pytest.Item) -> int:
    if _is_alone(item):
        return 0
    folders = enumerate(_LONG, start=1)
    return next((turn for turn, each in folders if item.nodeid.startswith(each)), len(_LONG) + 1)
