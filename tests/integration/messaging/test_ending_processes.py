"""Processes that RabbitMQ wakes come and go while the relay publishes: no event is set aside for that."""

import asyncio

from infrastructure.bus.newest_event import NewestEventQueue
from tests.support.jobs.relaying import RelaySide, outsider, positions_of
from tests.support.run.background import in_background, module_process
from tests.support.servers.postgres import scaled

LISTENER = "tests.support.processes.listener"


async def test_processes_that_end_cost_no_event_and_set_none_aside(
    database_url: str, amqp_url: str
) -> None:
    async def record(relay_side: RelaySide) -> None:
        while True:
            await relay_side.record(20)

    async with (
        RelaySide.open(database_url, amqp_url) as relay_side,
        outsider(relay_side) as other,
        relay_side.relaying(),
    ):
        async with in_background(record(relay_side)):
            for _ in range(scaled(4)):
                async with NewestEventQueue.open(amqp_url, lambda: None):
                    await asyncio.sleep(0.15)
            async with module_process(LISTENER, amqp_url) as process:
                await asyncio.sleep(0.2)
                process.kill()
                await asyncio.sleep(0.2)
        await other.wait_for(await relay_side.wait_until_relayed())
        assert (await relay_side.records.status()).rejected == 0
        assert other.first_deliveries == await positions_of(relay_side)
