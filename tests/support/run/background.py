"""What goes on beside a test: endless work in this process, or a process of its own."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from tests.support.servers.rollbook import rollbook_environment

_READY_SECONDS: Final = 20.0


@asynccontextmanager
async def at_work(work: Coroutine[Any, Any, object]) -> AsyncGenerator[None]:
    """With this work, which does not end by itself and is cancelled in the end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        assert not task.done(), task
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def process_of(module: str, *arguments: str) -> AsyncGenerator[Process]:
    """A module's process, once it has said `ready`; killed in the end, if it is still there."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", module, *arguments),
        env=rollbook_environment(),
        stdout=PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(_READY_SECONDS):
            while b"ready" not in await process.stdout.readline():
                assert not process.stdout.at_eof(), f"{module} ended"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
