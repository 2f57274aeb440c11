"""The consumer of the documentation runs unchanged, in a process without Rollbook's sources."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aio_pika
import pytest

from tests.support.documents import listing
from tests.support.jobs.relaying import RelaySide
from tests.support.servers.rabbit import RabbitNode
from tests.support.views.directory import execute

LINES: Final = 29
"""Twenty lines of code, and those that a formatter adds."""


@pytest.fixture
def consumer(tmp_path: Path) -> Path:
    """The listing of the page, as a file."""
    path = tmp_path / "consumer.py"
    path.write_text(listing("consumers.md", "python"))
    return path


class Running:
    """The lines that the consumer has printed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode())

    @property
    def positions(self) -> list[int]:
        return [int(line.split()[0]) for line in self.lines]

    async def has(self, count: int) -> None:
        async with asyncio.timeout(30):
            while len(self.lines) < count:
                assert self.process.returncode is None
                await asyncio.sleep(0.05)


@asynccontextmanager
async def running(consumer: Path, amqp_url: str) -> AsyncGenerator[Running]:
    """The consumer in a separate process without the sources; its queue is deleted at the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", str(consumer)),
        env={"AMQP_URL": amqp_url},
        cwd=consumer.parent,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    running = Running(process)
    reading = asyncio.create_task(running.read())
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading
        async with await aio_pika.connect(amqp_url) as connection:
            await (await connection.channel()).queue_delete("crm.users")


async def bound(amqp_url: str) -> None:
    """Returns when the consumer's queue exists and has a consumer."""
    async with asyncio.timeout(20), await aio_pika.connect(amqp_url) as connection:
        while True:
            try:
                channel = await connection.channel()
                queue = await channel.declare_queue("crm.users", passive=True)
                if queue.declaration_result.consumer_count:
                    return
            except aio_pika.exceptions.ChannelClosed:
                pass
            await asyncio.sleep(0.1)


def test_the_consumer_has_twenty_lines(consumer: Path) -> None:
    lines = [line for line in consumer.read_text().splitlines() if line.strip()]
    assert len(lines) <= LINES


async def test_the_consumer_gets_all_events_in_order_and_catches_up_by_itself(
    database_url: str, rabbit: RabbitNode, consumer: Path
) -> None:
    async with (
        RelaySide.open(database_url, rabbit.url) as relay_side,
        running(consumer, rabbit.url) as outsider,
    ):
        await bound(rabbit.url)
        async with relay_side.relaying():
            await relay_side.record(300)
            await outsider.has(300)
            await asyncio.to_thread(rabbit.stop)
            await relay_side.record(300)
            rabbit.launch()
            await outsider.has(600)
        rows = await execute(database_url, "SELECT notification_id FROM stored_events ORDER BY 1")
        assert outsider.positions == [row[0] for row in rows]
    line = outsider.lines[0]
    assert "user.registered" in line
    assert "'sealed': {'key'" in line
    assert "example.com" not in line


async def test_an_error_of_the_consumer_s_own_code_ends_it_and_the_event_comes_again(
    database_url: str, rabbit: RabbitNode, consumer: Path, tmp_path: Path
) -> None:
    code = consumer.read_text()
    failing = tmp_path / "failing.py"
    # An error that a broken connection raises, too.
    failing.write_text(
        code.replace("seen.add(event.get_id())", 'raise OSError("the disk is full")')
    )
    async with (
        RelaySide.open(database_url, rabbit.url) as relay_side,
        relay_side.relaying(),
        running(failing, rabbit.url) as failed,
    ):
        await bound(rabbit.url)
        await relay_side.record(3)
        async with asyncio.timeout(30):
            assert await failed.process.wait() == 1
        async with running(consumer, rabbit.url) as again:
            await again.has(3)
        assert again.lines[0] == failed.lines[0]
