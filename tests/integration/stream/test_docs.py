"""The followers printed in docs/streams.md handle each event once, and no error is silent."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import pytest

from tests.support.clients.broken_line import BrokenLine
from tests.support.clients.node import node
from tests.support.documents import listings
from tests.support.http.streaming import StreamingDirectory, served
from tests.support.servers.postgres import scaled

PAGE: Final = "streams.md"
SECONDS: Final = 60

# It fails at the third event, once, and works for a moment, so that it meets the cuts. The caller
# starts the follower again after the last event that was handled.
FAILING_ONCE: Final = {
    "python": """
handled, failed, working = 0, False, False


async def fail_once(event):
    global handled, failed, working
    assert not working, "two events at a time"
    working = True
    try:
        await asyncio.sleep(0.005)
        if int(event["position"]) == 3 and not failed:
            failed = True
            raise OSError("the disk is full")
        handled = int(event["position"])
        print(event["position"], event["type"], event["subject"], flush=True)
    finally:
        working = False


async def main():
    while True:
        try:
            await follow(handled, fail_once)
        except OSError as error:
            print("failed:", error, flush=True)


asyncio.run(main())
""",
    "js": """
let handled = 0, failed = false, working = false;
const headers = { Authorization: `Bearer ${process.env.ROLLBOOK_TOKEN}` };
const failOnce = async (event) => {
  if (working) throw new Error("two events at a time");
  working = true;
  try {
    await new Promise((done) => setTimeout(done, 5));
    if (event.position === "3" && !failed) {
      failed = true;
      throw new TypeError("the disk is full");
    }
    handled = Number(event.position);
    console.log(event.position, event.type, event.subject);
  } finally {
    working = false;
  }
};
for (;;) {
  await follow(process.env.ROLLBOOK_URL, headers, handled, failOnce).catch((error) => {
    console.log("failed:", error.message);
  });
}
""",
}
# The first event takes long, so that frames pile up in the client.
SLOW: Final = """
const headers = { Authorization: `Bearer ${process.env.ROLLBOOK_TOKEN}` };
await follow(process.env.ROLLBOOK_URL, headers, 0, async (event) => {
  if (event.position === "1") await new Promise((done) => setTimeout(done, 1500));
  console.log(event.position);
});
"""

Program = Callable[[str], list[str]]


def python(code: str) -> list[str]:
    return [sys.executable, "-P", "-c", code]


def javascript(code: str, *options: str) -> list[str]:
    return [node(), *options, "--input-type=module", "--eval", code]


PROGRAMS: Final[dict[str, Program]] = {"python": python, "js": javascript}


@asynccontextmanager
async def running(program: list[str], url: str, token: str = "reader") -> AsyncGenerator[Process]:
    """The program, on this URL; it is killed at the end."""
    process = await asyncio.create_subprocess_exec(
        *program,
        env={**os.environ, "ROLLBOOK_URL": url, "ROLLBOOK_TOKEN": token},
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
    """The next lines of its output; the test fails with its errors if it ends."""
    assert process.stdout is not None
    assert process.stderr is not None
    found: list[str] = []
    async with asyncio.timeout(SECONDS):
        while len(found) < count:
            line = await process.stdout.readline()
            assert line, (await process.stderr.read()).decode()
            found.append(line.decode().strip())
    return found


async def warnings(process: Process, count: int) -> list[str]:
    """The next lines that it writes for people."""
    assert process.stderr is not None
    async with asyncio.timeout(SECONDS):
        return [(await process.stderr.readline()).decode().strip() for _ in range(count)]


async def ended(process: Process) -> str:
    """What it wrote for people, after it has ended with an error."""
    async with asyncio.timeout(SECONDS):
        _, errors = await process.communicate()
    assert process.returncode == 1
    return errors.decode()


async def recorded(directory: StreamingDirectory) -> list[str]:
    """The lines that a follower prints of the whole log."""
    events = (await directory.log.read(0, 10_000)).events
    return [
        f"{event.position} user.registered {event.stream}"
        for event in events
        if event.kind == "user"
    ]


@pytest.mark.parametrize("language", PROGRAMS)
async def test_a_printed_follower_continues_after_a_restart_of_the_server(language: str) -> None:
    directory = StreamingDirectory(heartbeat_seconds=0.2)
    await directory.register(2)
    program = PROGRAMS[language]("\n".join(listings(PAGE, language)))
    async with AsyncExitStack() as first:
        url = await first.enter_async_context(served(directory.app))
        async with running(program, url) as process:
            printed = await lines(process, 2)
            await first.aclose()
            await directory.register(2)
            async with served(directory.app, int(url.rpartition(":")[2])):
                printed += await lines(process, 2)
                await directory.register()
                printed += await lines(process, 1)
    assert printed == await recorded(directory)


@pytest.mark.parametrize("language", PROGRAMS)
async def test_a_printed_follower_handles_each_event_once_though_a_handler_fails_and_the_line_breaks(
    language: str,
) -> None:
    directory = StreamingDirectory(heartbeat_seconds=0.2)
    await directory.register(12)
    program = PROGRAMS[language](listings(PAGE, language)[0] + FAILING_ONCE[language])
    async with served(directory.app) as server, BrokenLine.to(server) as line:
        async with running(program, line.url) as process:
            printed = await lines(process, 13)
            for _ in range(scaled(2)):
                line.cut()
                await directory.register(50)
                # The next cut comes in the middle of a frame.
                printed += await lines(process, 30)
                line.cut()
                printed += await lines(process, 20)
            await directory.register()
            printed += await lines(process, 1)
    assert printed[2] == "failed: the disk is full"
    assert printed[:2] + printed[3:] == await recorded(directory)


@pytest.mark.long
async def test_the_javascript_follower_resumes_where_a_slow_handler_let_too_many_frames_wait() -> (
    None
):
    directory = StreamingDirectory()
    await directory.register(6000)
    code = listings(PAGE, "js")[0] + SLOW
    async with served(directory.app) as url, running(javascript(code), url) as process:
        printed = await lines(process, 6000)
        (warning,) = await warnings(process, 1)
    assert printed == [str(position) for position in range(1, 6001)]
    assert warning == "The stream broke: 4409 too many frames wait"


@pytest.mark.parametrize("language", PROGRAMS)
@pytest.mark.parametrize("token", ["unknown", "nobody"])
async def test_a_printed_follower_ends_with_an_error_if_it_may_not_read(
    language: str, token: str
) -> None:
    directory = StreamingDirectory()
    program = PROGRAMS[language]("\n".join(listings(PAGE, language)))
    async with served(directory.app) as url, running(program, url, token) as process:
        assert "Error: " in await ended(process)


async def test_the_javascript_follower_ends_with_an_error_where_there_is_no_websocket() -> None:
    directory = StreamingDirectory()
    await directory.register()
    program = javascript("\n".join(listings(PAGE, "js")), "--no-experimental-websocket")
    async with served(directory.app) as url, running(program, url) as process:
        assert "WebSocket is not defined" in await ended(process)


@pytest.mark.parametrize("language", PROGRAMS)
async def test_a_printed_follower_warns_while_no_server_answers(language: str) -> None:
    directory = StreamingDirectory()
    async with served(directory.app) as url:
        pass
    program = PROGRAMS[language]("\n".join(listings(PAGE, language)))
    async with running(program, url) as process:
        found = await warnings(process, 2)
    assert all("fetch failed" in line or "Connect call failed" in line for line in found)
