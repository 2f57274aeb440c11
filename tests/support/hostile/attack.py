"""Measures an API process, alone and while another process sends it the worst requests."""

import asyncio
import json
import os
import re
import signal
import socket
import statistics
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Final, Self

from msgspec import Struct

from tests.support.hostile.worst_requests import large_patches
from tests.support.run.background import module_process
from tests.support.servers.postgres import MASTER_KEYS
from tests.support.servers.rollbook import rollbook_environment, until

TOKEN: Final = "a-token-of-thirty-two-characters"
PAGES: Final = "pages of large events"
SUBJECTS: Final = ("refused bodies", "accepted bodies", "queries and headers", PAGES)
# Commands of the other caller in a second.
_RATE: Final = 50
_LENGTH: Final = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
_numbers = count(1)


class Figures(Struct, frozen=True):
    """Seconds: the other caller's p99, and the longest gaps of the loop (see `gap_api`)."""

    p99: float
    wall: float
    busy: float

    @classmethod
    def median(cls, figures: Sequence[Self]) -> Self:
        columns = zip(*((each.p99, each.wall, each.busy) for each in figures), strict=True)
        return cls(*map(statistics.median, columns))


class MeasuredApi:
    """An API process with a measured event loop."""

    def __init__(self, port: int, pid: int, report: Path) -> None:
        self.port = port
        self._pid = pid
        self._report = report

    async def alone(self, seconds: float) -> Figures:
        """The figures without other callers."""
        await self._gaps()
        p99 = await self._other_caller(seconds)
        return Figures(p99, *await self._gaps())

    async def under(self, subject: str, seconds: float) -> Figures:
        """The figures while the worst requests of a subject arrive."""
        user = await self._ask([_registration()])
        if subject == PAGES:
            await self._ask(large_patches(TOKEN, user, 150))
        arguments = (str(self.port), TOKEN, user, subject)
        async with module_process("tests.support.hostile.worst_load", *arguments):
            return await self.alone(seconds)

    async def started(self) -> None:
        """Returns when it answers: it listens before."""
        await self._ask([_registration()])

    async def _ask(self, commands: Sequence[bytes]) -> str:
        """Send commands one after the other; the id of the user in the last answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**20)
        try:
            answer = b"{}"
            for command in commands:
                writer.write(command)
                answer = await _answer(reader)
            return json.loads(answer)["id"]
        finally:
            writer.close()

    async def _other_caller(self, seconds: float) -> float:
        """The p99 of commands on a fixed schedule, each from its scheduled moment."""
        free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        began = perf_counter() + 0.1

        async def one(number: int) -> float:
            due = began + number / _RATE
            await asyncio.sleep(due - perf_counter())
            if not free:
                free.append(await asyncio.open_connection("127.0.0.1", self.port))
            reader, writer = connection = free.pop()
            writer.write(_registration())
            await _answer(reader)
            free.append(connection)
            return perf_counter() - due

        times = await asyncio.gather(*(one(number) for number in range(int(seconds * _RATE))))
        for _, writer in free:
            writer.close()
        return statistics.quantiles(times, n=100)[98]

    async def _gaps(self) -> tuple[float, float]:
        """The longest gaps since the last call."""
        self._report.unlink(missing_ok=True)
        os.kill(self._pid, signal.SIGUSR1)
        async with asyncio.timeout(10):
            while not self._report.exists():
                await asyncio.sleep(0.005)
        found = json.loads(self._report.read_text())
        return found["wall"], found["busy"]


@asynccontextmanager
async def measured_api(database_url: str, directory: Path) -> AsyncGenerator[MeasuredApi]:
    """An API process alone on a migrated database."""
    report, port = directory / "gaps.json", _free_port()
    settings = {
        "ROLLBOOK_DATABASE_URL": database_url,
        "ROLLBOOK_MASTER_KEY": MASTER_KEYS,
        "ROLLBOOK_ADMIN_TOKEN": TOKEN,
        "ROLLBOOK_LOG_LEVEL": "error",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "tests.support.hostile.gap_api", str(report), str(port)),
        env=rollbook_environment(**settings),
    )
    try:
        await asyncio.to_thread(until, lambda: _answers(port), 30)
        api = MeasuredApi(port, process.pid, report)
        await api.started()
        yield api
    finally:
        process.terminate()
        await process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _registration() -> bytes:
    number = next(_numbers)
    address = f"ada.{os.getpid()}.{number}@example.org"
    body = json.dumps({"name": f"Åsa Öberg {number}", "email": address}).encode()
    lines = [
        "POST /v1/users HTTP/1.1",
        "Host: rollbook",
        f"Authorization: Bearer {TOKEN}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 20"), head
    length = _LENGTH.search(head)
    assert length is not None
    return await reader.readexactly(int(length[1]))
