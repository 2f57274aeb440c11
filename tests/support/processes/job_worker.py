"""A process that does jobs and nothing else, for tests that freeze or kill it.

Run as `python -m tests.support.processes.job_worker URL`; says `ready` when it is at work. It
knows one kind, `count`: counts to the number it is told, ten a second, and says which process did.
"""

import asyncio
import os
import sys
from typing import Any

from application.jobs.model import JobRun
from tests.support.jobs.jobs import Bench, kind


async def count(run: JobRun) -> dict[str, Any]:
    for done in range(run.arguments["to"]):
        await run.report(done, run.arguments["to"])
        await asyncio.sleep(0.1)
    return {"process": os.getpid(), "attempt": run.attempt}


async def main(url: str) -> None:
    async with Bench.in_postgres(url) as bench, bench.working(kind(count, "count")):
        print("ready", flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
