"""Many webhooks do not read the head of the log more often than a few."""

import asyncio

from application.webhooks.reading import Pace


async def test_reads_are_spread_and_one_alone_does_not_wait() -> None:
    pace, loop, moments = Pace(0.01), asyncio.get_running_loop(), list[float]()

    async def read() -> None:
        await pace.wait()
        moments.append(loop.time())

    began = loop.time()
    await asyncio.gather(*(read() for _ in range(20)))
    assert moments[0] - began < 0.01
    assert moments[-1] - began >= 0.18
    await asyncio.sleep(0.02)
    began = loop.time()
    await read()
    assert moments[-1] - began < 0.01
