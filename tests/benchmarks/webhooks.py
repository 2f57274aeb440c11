"""Deliveries to one endpoint from a long backlog, against a bare loop of requests.

The twin is httpx2 alone: eight requests at the same time with the bodies that Rollbook sends, to the same receiver in
a process of its own. It reads no log, opens nothing, signs nothing and stores no progress.
"""

import asyncio
import socket
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import httpx2
import msgspec
import structlog

from application.log.envelope import envelope
from application.webhooks.health import IN_FLIGHT
from tests.benchmarks import harness
from tests.support.run.background import module_process
from tests.support.views.directory import execute
from tests.support.webhooks.delivering import WebhookSide

TARGET: Final = 0.6
_PER_SECOND: Final = 300.0
_BACKLOG: Final = 100_000
_BATCH: Final = 1000
_RECEIVER: Final = "tests.support.processes.receiver"
_FROM_THE_START: Final = "UPDATE webhook_progress SET position = 0"


async def webhooks(url: str, given: harness.Options) -> Sequence[harness.Comparison]:
    """Compares both, and checks that a second brings 300 deliveries or more."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    port = _free_port()
    endpoint = f"http://127.0.0.1:{port}/hook"
    async with WebhookSide.open(url) as side, module_process(_RECEIVER, str(port)):
        for _ in range(0, given.rows, _BATCH):
            await side.register(_BATCH)
        page = await side.events.feed.read(0, _BATCH)
        log_id = side.events.identity.id
        bodies = [msgspec.json.encode(envelope(each, log_id, opened=False)) for each in page.events]
        webhook = await side.create(endpoint, after=0)

        async def twin(seconds: float) -> float:
            return await _bare_loop(endpoint, bodies, seconds)

        async def ours(seconds: float) -> float:
            await execute(url, _FROM_THE_START)
            async with side.delivering():
                before = (await side.records.states()).get(webhook.id)
                known = before.delivered if before else 0
                began = await side.wait_until(webhook, lambda state: state.delivered > known)
                start = time.perf_counter()
                await asyncio.sleep(seconds)
                state = await side.state(webhook)
                return (state.delivered - began.delivered) / (time.perf_counter() - start)

        compared = await harness.compare("deliveries", twin, ours, given, target=TARGET)
        enough = [_PER_SECOND] * len(compared.ours)
        return [compared, harness.Comparison("the same, per second", enough, compared.ours, 1)]


async def _bare_loop(endpoint: str, bodies: Sequence[bytes], seconds: float) -> float:
    done = 0
    async with httpx2.AsyncClient(trust_env=False) as client:
        began = time.perf_counter()
        until = datetime.now(UTC) + timedelta(seconds=seconds)

        async def post(first: int) -> None:
            nonlocal done
            for number in range(first, 10**9, IN_FLIGHT):
                if datetime.now(UTC) >= until:
                    return
                answer = await client.post(
                    endpoint,
                    content=bodies[number % len(bodies)],
                    headers={"content-type": "application/json"},
                )
                answer.raise_for_status()
                done += 1

        await asyncio.gather(*(post(first) for first in range(IN_FLIGHT)))
        return done / (time.perf_counter() - began)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


if __name__ == "__main__":
    harness.run(webhooks, __doc__ or "", rows=_BACKLOG)
