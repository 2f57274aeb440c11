"""Workers share the webhooks; one that is killed or frozen is replaced, and no event is skipped."""

import asyncio
import signal
from collections import Counter

import pytest

from infrastructure.leadership import lock_key
from infrastructure.webhooks.ledger import leader_of
from tests.support.run.background import module_process
from tests.support.servers.postgres import scaled
from tests.support.views.directory import execute
from tests.support.webhooks.delivering import WebhookSide, by_user, until
from tests.support.webhooks.receiver import Received, Receiver

WORKER = "tests.support.processes.webhooks"


async def slowly(_: Received) -> int:
    await asyncio.sleep(0.01)
    return 204


async def led(side: WebhookSide) -> dict[int, int]:
    """How many webhooks each session leads."""
    keys = [lock_key(leader_of(webhook)) for webhook in await side.records.states()]
    rows = await execute(
        side.url,
        "SELECT pid, classid::bigint << 32 | objid::bigint FROM pg_locks"
        " WHERE locktype = 'advisory' AND granted AND objsubid = 1",
    )
    return Counter(pid for pid, key in rows if key in keys)


async def wait_for_shares(side: WebhookSide, shares: list[int]) -> None:
    async with asyncio.timeout(20):
        while sorted((await led(side)).values()) != shares:
            await asyncio.sleep(0.1)


async def test_workers_share_the_webhooks_and_take_over_those_of_one_that_ends(
    side: WebhookSide,
) -> None:
    async with Receiver.open() as receiver, WebhookSide.open(side.url) as second:
        for _ in range(5):
            await side.create(receiver.url)
        async with side.delivering():
            await wait_for_shares(side, [5])
            async with second.delivering():
                await wait_for_shares(side, [2, 3])
                await side.register(10)
                await until(lambda: len(receiver.accepted) >= 50)
            await wait_for_shares(side, [5])
            await side.register(1)
            await until(lambda: len(receiver.accepted) >= 55)
            await asyncio.sleep(0.3)
    assert len(receiver.accepted) == 55, "a webhook changes its worker between two deliveries"


@pytest.mark.parametrize(
    "how", [signal.SIGKILL, pytest.param(signal.SIGSTOP, marks=pytest.mark.long)]
)
async def test_after_a_kill_events_are_delivered_again_with_the_same_id_and_none_is_skipped(
    side: WebhookSide, how: signal.Signals
) -> None:
    async with Receiver.open(slowly) as receiver:
        await side.create(receiver.url)
        positions = await side.record(users=20, versions=scaled(10))
        written = len(positions) * scaled(10)
        async with module_process(WORKER, side.url) as first:
            await until(lambda: len(receiver.accepted) > written // 3)
            first.send_signal(how)
            accepted = len(receiver.accepted)
            loop = asyncio.get_running_loop()
            stopped = loop.time()
            async with side.delivering():
                await until(lambda: len(receiver.received) > accepted + 8)
                assert loop.time() - stopped < 6
                if how == signal.SIGSTOP:
                    first.send_signal(signal.SIGCONT)
                await until(lambda: sum(map(len, by_user(receiver).values())) == written)
                await asyncio.sleep(0.5)
    assert by_user(receiver) == positions
    repeated = Counter(request.event_id for request in receiver.accepted)
    # What was accepted since the last save, at most 50 requests and a second, and those in flight.
    assert sum(repeated.values()) - len(repeated) <= 50 + 2 * 8 + (
        8 if how == signal.SIGSTOP else 0
    )
    ids = {request.event_id: request.body for request in receiver.accepted}
    assert all(request.body == ids[request.event_id] for request in receiver.accepted)


async def test_a_worker_of_a_lost_database_session_goes_on(side: WebhookSide) -> None:
    async with Receiver.open(slowly) as receiver:
        await side.create(receiver.url)
        async with side.delivering():
            positions = await side.record(users=20, versions=3)
            await until(lambda: len(receiver.accepted) > 10)
            await execute(
                side.url,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            await until(lambda: sum(map(len, by_user(receiver).values())) == 60)
            positions.update(await side.record(users=3, versions=2))
            await until(lambda: sum(map(len, by_user(receiver).values())) == 66)
    assert by_user(receiver) == positions
