"""The tests' own workers: a test that measures time runs alone, and gets its turn."""

import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.run.workers import ReadWriteLock

SOON = 0.2


class Worker:
    """A worker with a thread for its next test; `inside` is set once the test runs."""

    def __init__(self, directory: Path) -> None:
        self._lock = ReadWriteLock(directory)
        self.inside = threading.Event()
        self._done = threading.Event()

    @contextmanager
    def asking(self, *, alone: bool = False) -> Generator[None]:
        thread = threading.Thread(target=self._work, args=[alone])
        thread.start()
        try:
            yield
        finally:
            self._done.set()
            thread.join(5)

    def finish(self) -> None:
        self._done.set()

    def _work(self, alone: bool) -> None:
        self._lock.acquire(exclusive=alone)
        self.inside.set()
        self._done.wait(5)
        self._lock.release()


@pytest.fixture
def workers(tmp_path: Path) -> Callable[[], Worker]:
    return lambda: Worker(tmp_path)


def test_several_work_at_once(workers: Callable[[], Worker]) -> None:
    one, other = workers(), workers()
    with one.asking(), other.asking():
        assert one.inside.wait(5)
        assert other.inside.wait(5)


def test_a_worker_that_runs_alone_waits_for_earlier_ones_and_later_ones_wait_for_it(
    workers: Callable[[], Worker],
) -> None:
    early, alone, late = workers(), workers(), workers()
    with ExitStack() as stack:
        stack.enter_context(early.asking())
        assert early.inside.wait(5)
        stack.enter_context(alone.asking(alone=True))
        assert not alone.inside.wait(SOON)
        stack.enter_context(late.asking())
        assert not late.inside.wait(SOON)
        early.finish()
        assert alone.inside.wait(5)
        assert not late.inside.wait(SOON)
        alone.finish()
        assert late.inside.wait(5)
