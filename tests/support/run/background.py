"""Background work during a test: a task in this process, or another process."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from tests.support.servers.rollbook import rollbook_environment

_READY_TIMEOUT_SECONDS: Final = 20.0


@asynccontextmanager
async def in_background(work: Coroutine[Any, Any, object]) -> AsyncGenerator[None]:
    """Run endless work as a task inside this context, and cancel it at the end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        assert not task.done(), task
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def module_process(module: str, *arguments: str) -> AsyncGenerator[Process]:
    """Run a module as a process: enters when it prints `ready`, kills the process at the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", module, *arguments),
        env=rollbook_environment(),
        stdout=PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(_READY_TIMEOUT_SECONDS):
            while b"ready" not in await process.stdout.readline():
                assert not process.stdout.at_eof(), f"{module} ended"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
