"""The benchmark of the live stream ends: its twin obeys SIGTERM while clients are connected."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from tests.support.http.streaming import frame, streaming
from tests.support.servers.rollbook import rollbook_environment

_END_SECONDS: Final = 10


@asynccontextmanager
async def twin(database_url: str) -> AsyncGenerator[tuple[Process, str]]:
    """The process of the twin, and its URL."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "tests.benchmarks.stream_twin", database_url),
        env=rollbook_environment(),
        stdout=PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            port = (await process.stdout.readline()).decode().strip()
        yield process, f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_the_twin_ends_with_a_client_that_reads_and_one_that_has_left(
    empty_database_url: str,
) -> None:
    async with twin(empty_database_url) as (process, url):
        async with streaming(url) as left:
            assert (await frame(left))["kind"] == "ready"
        async with streaming(url) as reading:
            assert (await frame(reading))["kind"] == "ready"
            process.terminate()
            async with asyncio.timeout(_END_SECONDS):
                await process.wait()
