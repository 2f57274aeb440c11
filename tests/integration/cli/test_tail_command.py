"""The command `rollbook tail`, against a real server over an in-memory directory."""

import asyncio
import json
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from tests.support.http.streaming import StreamingDirectory, served
from tests.support.servers.rollbook import rollbook_command, rollbook_environment


@pytest.fixture
def directory() -> StreamingDirectory:
    return StreamingDirectory(heartbeat_seconds=0.2)


@asynccontextmanager
async def tail(url: str, *options: str, token: str = "reader") -> AsyncGenerator[Process]:
    settings = {"ROLLBOOK_URL": url, "ROLLBOOK_TOKEN": token}
    process = await asyncio.create_subprocess_exec(
        *rollbook_command("tail", *options),
        env=rollbook_environment(**settings),
        cwd="/",
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def lines(process: Process, count: int) -> list[str]:
    assert process.stdout is not None
    async with asyncio.timeout(15):
        return [(await process.stdout.readline()).decode().rstrip("\n") for _ in range(count)]


async def error_output(process: Process) -> str:
    """What the command prints to stderr until it ends."""
    async with asyncio.timeout(15):
        _, said = await process.communicate()
    return said.decode()


def positions(printed: list[str]) -> list[int]:
    return [int(json.loads(line)["position"]) for line in printed]


async def test_it_prints_each_event_as_a_json_line(directory: StreamingDirectory) -> None:
    await directory.register(2)
    async with served(directory.app) as url, tail(url, "--after", "1", "--json") as process:
        printed = await lines(process, 1)
        await directory.register()
        printed += await lines(process, 1)
        async with directory.as_("reader") as reader:
            items: list[dict[str, Any]] = (await reader.get("/v1/events?after=1")).json()["items"]
        assert [json.loads(line) for line in printed] == items


async def test_without_json_it_prints_one_line_per_event(directory: StreamingDirectory) -> None:
    await directory.promote()
    async with served(directory.app) as url:
        async with tail(url, "--after", "0", "--types", "user.role_changed") as process:
            (line,) = await lines(process, 1)
    assert line.split()[0] == "2"
    assert "user.role_changed" in line
    assert "token:t" in line
    assert '{"role":"owner"' in line


async def test_it_prints_only_the_events_of_one_user(directory: StreamingDirectory) -> None:
    await directory.register(2)
    user: UUID = (await directory.log.read(1, 1)).events[0].stream
    async with served(directory.app) as url:
        async with tail(url, "--after", "0", "--user", str(user), "--json") as process:
            assert positions(await lines(process, 1)) == [2]


async def test_it_continues_at_its_position_when_the_server_is_back(
    directory: StreamingDirectory,
) -> None:
    async with asyncio.timeout(30):
        first = served(directory.app)
        url = await first.__aenter__()
        async with tail(url, "--after", "0", "--json") as process:
            await directory.register(2)
            printed = await lines(process, 2)
            await first.__aexit__(None, None, None)
            await directory.register(2)
            async with served(directory.app, int(url.rpartition(":")[2])):
                printed += await lines(process, 2)
                await directory.register()
                printed += await lines(process, 1)
            assert process.stderr is not None
            assert b"interrupted, continuing after 2" in await process.stderr.readline()
    recorded = (await directory.log.read(0, 100)).events
    users = [each.position for each in recorded if each.kind == "user"]
    assert (positions(printed), len(users)) == (users, 5)


async def test_ctrl_c_is_no_failure(directory: StreamingDirectory) -> None:
    await directory.register()
    async with served(directory.app) as url, tail(url, "--after", "0") as process:
        await lines(process, 1)
        process.send_signal(signal.SIGINT)
        assert await error_output(process) == ""
        assert process.returncode == 0


async def test_it_ends_when_the_reader_of_its_output_leaves(directory: StreamingDirectory) -> None:
    """As in `rollbook tail | head`."""
    await directory.register()
    reading, writing = os.pipe()
    async with served(directory.app) as url:
        process = await asyncio.create_subprocess_exec(
            *rollbook_command("tail", "--after", "0"),
            env=rollbook_environment(ROLLBOOK_URL=url, ROLLBOOK_TOKEN="reader"),
            cwd="/",
            stdout=writing,
            stderr=PIPE,
        )
        os.close(writing)
        assert await asyncio.to_thread(os.read, reading, 10)
        os.close(reading)
        await directory.register()
        assert "Traceback" not in await error_output(process)
        assert process.returncode == 1


@pytest.mark.parametrize(
    ("options", "token", "said"),
    [
        ((), "wrong", "the stream is refused: The token"),
        ((), "nobody", "the stream is refused: This needs the permission events:read"),
        (("--after", "9"), "reader", "the stream is refused: after is above the head"),
        (("--user", "ada"), "reader", "the stream is refused: user must be"),
    ],
)
async def test_a_refusal_is_printed_in_one_line(
    directory: StreamingDirectory, options: tuple[str, ...], token: str, said: str
) -> None:
    async with served(directory.app) as url, tail(url, *options, token=token) as process:
        output = await error_output(process)
    assert output.startswith(f"rollbook: {said}")
    assert output.count("\n") == 1
    assert process.returncode == 1


async def test_it_reports_that_no_server_answers() -> None:
    async with tail("http://127.0.0.1:1") as process:
        assert await error_output(process) == (
            "rollbook: no Rollbook answers at http://127.0.0.1:1\n"
        )
    assert process.returncode == 1
