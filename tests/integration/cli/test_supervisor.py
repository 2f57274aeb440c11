"""The supervisor of `rollbook up` restarts a crashed server, however often a start fails."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from infrastructure.embedded.errors import StartFailed
from interfaces.cli.server.supervisor import Server, ServerFailed, supervise


class Part:
    """A server that runs until `crash()`; its next starts raise `failures`."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self.failures: list[Exception] = []
        self._name = name
        self._calls = calls
        self._ended = asyncio.Event()

    async def start(self) -> None:
        self._calls.append(f"start {self._name}")
        if self.failures:
            raise self.failures.pop(0)
        self._ended.clear()

    async def wait(self) -> int:
        await self._ended.wait()
        return -9

    async def stop(self) -> None:
        self._calls.append(f"stop {self._name}")
        self._ended.set()

    def crash(self) -> None:
        self._ended.set()


@pytest.fixture
def calls() -> list[str]:
    """The calls to the servers, in order."""
    return []


@asynccontextmanager
async def supervised(servers: Mapping[str, Server]) -> AsyncGenerator[None]:
    stop, ready = asyncio.Event(), asyncio.Event()

    async def announce() -> None:
        ready.set()

    work = asyncio.create_task(supervise(servers, stop, ready=announce))
    async with asyncio.timeout(5):
        await ready.wait()
        yield
        stop.set()
        await work


@pytest.mark.parametrize(
    "failure",
    [
        OSError(28, "No space left on device"),
        StartFailed("Postgres", Path("server.log"), "FATAL"),
        ServerFailed("it did not start"),
        RuntimeError("can't start new thread"),
    ],
    ids=["OSError", "StartFailed", "ServerFailed", "RuntimeError"],
)
async def test_a_crashed_server_is_restarted_until_it_starts_after_any_error(
    calls: list[str], failure: Exception
) -> None:
    database, cache = Part("database", calls), Part("cache", calls)
    with capture_logs() as logs:
        async with supervised({"database": database, "cache": cache}):
            database.failures = [failure, failure]
            began = asyncio.get_running_loop().time()
            database.crash()
            while not any(line["event"] == "server started again" for line in logs):
                await asyncio.sleep(0.005)
            # The pauses double: 0.1, 0.2, then 0.4 s. The loop counts milliseconds.
            assert 0.695 <= asyncio.get_running_loop().time() - began < 3
    assert calls == [
        *("start database", "start cache"),
        *("start database", "start database", "start database"),
        *("stop cache", "stop database"),
    ]
    failed = [line for line in logs if line["event"] == "server did not start"]
    assert [line["server"] for line in failed] == ["database", "database"]
    assert all("reason" in line or line["exc_info"] for line in failed)


async def never() -> None:
    raise AssertionError("not all servers have started")


async def test_an_error_in_the_first_start_is_raised_and_the_others_are_stopped(
    calls: list[str],
) -> None:
    database, cache = Part("database", calls), Part("cache", calls)
    cache.failures = [OSError(28, "No space left on device")]
    with pytest.raises(OSError, match="No space left"):
        await supervise({"database": database, "cache": cache}, asyncio.Event(), ready=never)
    assert calls == ["start database", "start cache", "stop cache", "stop database"]
