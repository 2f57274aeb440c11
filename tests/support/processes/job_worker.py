"""A process that only runs jobs, for tests that freeze or kill it.

Run as `python -m tests.support.processes.job_worker URL`; prints `ready` when it works. It
runs one kind, `count`: it counts to `to`, ten a second; the result has the id of the process.
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
