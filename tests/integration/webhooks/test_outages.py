"""An endpoint that fails costs one row and nobody else anything; nothing is lost or reordered."""

import asyncio
import random
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any, Final

import pytest
from uuid_utils.compat import uuid7

from application.live.notifications import Notification
from domain.webhook.commands import ReplayWebhook, ResumeWebhook
from tests.support.servers.postgres import scaled
from tests.support.views.directory import execute
from tests.support.webhooks.answers import Endpoint, Flaky
from tests.support.webhooks.delivering import WebhookSide, by_user, received_more, until
from tests.support.webhooks.receiver import Received, Receiver

LONG_TRANSACTIONS: Final = """
SELECT query FROM pg_stat_activity
WHERE xact_start < now() - interval '0.5 s' AND datname = current_database()
    AND backend_type = 'client backend'"""


async def disabled(side: WebhookSide) -> Notification:
    """The notification, which follows the event."""
    async with asyncio.timeout(10):
        while not (found := await side.notifications.after(0, 10)):
            await asyncio.sleep(0.05)
    assert len(found) == 1
    return found[0][1]


@pytest.mark.parametrize("count", [pytest.param(300, id="300")])
async def test_an_endpoint_that_is_away_costs_one_row_and_nobody_else_anything(
    side: WebhookSide, count: int
) -> None:
    endpoint = Endpoint()
    async with Receiver.open(endpoint) as receiver, Receiver.open() as other:
        webhook, healthy = await side.create(receiver.url), await side.create(other.url)
        async with side.delivering():
            events = await side.register(10)
            await until(lambda: len(receiver.accepted) == len(other.accepted) == 10)
            endpoint.status = 503
            loop = asyncio.get_running_loop()
            slowest = 0.0
            positions: dict[str, list[int]] = {}
            for _ in range(scaled(count) // 60):
                began = loop.time()
                positions.update(await side.record(users=20, versions=3))
                slowest = max(slowest, (loop.time() - began) / 3)
            written = len(positions) * 3
            await until(lambda: len(other.accepted) == 10 + written, seconds=60)
            down = await side.wait_until(webhook, lambda state: state.next_attempt_at is not None)
            assert down.position >= events[-1].position
            # The users whose deliveries were in flight when it went away.
            assert await side.rows("webhook_parked") < 8
            assert await side.rows("webhook_progress") == 2
            assert len(receiver.received) < 10 + 40, "an endpoint that is down gets probes only"
            assert slowest < 2
            healthy_state = await side.wait_until(
                healthy, lambda state: state.delivered == 10 + written
            )
            assert healthy_state.failed == 0
            endpoint.status = 204
            side.clock.ahead += timedelta(hours=1)
            await until(lambda: len(receiver.accepted) == 10 + written, seconds=60)
            await side.wait_until(
                webhook, lambda state: state.parked == 0 and state.failing_since is None
            )
    assert positions.items() <= by_user(receiver).items()
    assert len(receiver.accepted) == 10 + written, "nothing was accepted twice"


async def test_without_a_success_for_a_day_the_webhook_is_disabled(side: WebhookSide) -> None:
    endpoint = Endpoint(status=503)
    async with Receiver.open(endpoint) as receiver:
        webhook = await side.create(receiver.url)
        async with side.delivering():
            await side.register(3)
            await side.wait_until(webhook, lambda state: state.failing_since is not None)
            for hours in (2, 20):
                side.clock.ahead += timedelta(hours=hours)
                await until(partial(received_more, receiver, len(receiver.received)))
            assert (await side.service.webhook(webhook.id)).config.status == "active"
            side.clock.ahead += timedelta(hours=3)
            async with asyncio.timeout(10):
                while (await side.service.webhook(webhook.id)).config.status != "disabled":
                    await asyncio.sleep(0.05)
            assert (await side.service.webhook(webhook.id)).config.reason == "no-success"
            notification = await disabled(side)
            assert notification.severity == "error"
            await asyncio.sleep(0.6)
            asked = len(receiver.received)
            side.clock.ahead += timedelta(days=1)
            await asyncio.sleep(0.5)
            assert len(receiver.received) == asked, "a disabled webhook gets nothing"
            endpoint.status = 204
            await side.execute(webhook, ResumeWebhook())
            await until(lambda: len(receiver.accepted) == 3)


async def test_an_endpoint_that_is_gone_disables_its_webhook_at_once(side: WebhookSide) -> None:
    async with Receiver.open(Endpoint(status=410)) as receiver:
        webhook = await side.create(receiver.url)
        async with side.delivering():
            await side.register(20)
            async with asyncio.timeout(10):
                while (await side.service.webhook(webhook.id)).config.status != "disabled":
                    await asyncio.sleep(0.05)
            assert (await side.service.webhook(webhook.id)).config.reason == "endpoint-gone"
            assert len(receiver.received) <= 8
            notification = await disabled(side)
            assert "410" in notification.message


async def test_endpoints_that_hang_delay_no_other(side: WebhookSide) -> None:
    async def hang(_: Received) -> int:
        await asyncio.sleep(60)
        return 204

    async with Receiver.open(hang) as hanging, Receiver.open() as quick:
        for _ in range(20):
            await side.create(hanging.url)
        healthy = await side.create(quick.url)
        async with side.delivering(seconds=2):
            await side.register(20)
            await until(lambda: len(quick.accepted) == 20, seconds=5)
            await until(lambda: hanging.max_at_once >= 20 * 8)
            await asyncio.sleep(0.7)
            assert await execute(side.url, LONG_TRANSACTIONS) == [], "while requests wait"
            loop = asyncio.get_running_loop()
            began = loop.time()
            await side.register(100)
            await until(lambda: len(quick.accepted) == 120, seconds=5)
            assert loop.time() - began < 4
            await side.wait_until(healthy, lambda state: state.delivered == 120)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
async def test_whatever_an_endpoint_does_no_event_is_lost_or_reordered(
    side: WebhookSide, seed: int
) -> None:
    """Restarts, time that passes, replays and every kind of failure, in any order."""
    chance = random.Random(seed)
    endpoint = Flaky(seed)
    positions: dict[str, list[int]] = {}
    async with Receiver.open(endpoint) as receiver:
        webhook = await side.create(receiver.url)
        for _ in range(scaled(3)):
            async with side.delivering(seconds=0.3):
                for version, moved in enumerate((1, 30, 4000), start=1):
                    if version == 1:
                        positions.update(await side.record(users=10, versions=4))
                    await asyncio.sleep(chance.random() * 0.5)
                    side.clock.ahead += timedelta(seconds=moved)
                state = (await side.records.states()).get(webhook.id)
                if chance.random() < 0.5 and state is not None and state.position > 1:
                    request = ReplayWebhook(
                        after=webhook.position, until=state.position, request=uuid7()
                    )
                    with suppress(TimeoutError):
                        await side.execute(webhook, request)
        endpoint.works = True
        async with side.delivering():
            await side.execute(webhook, ResumeWebhook())
            head = await side.events.feed.head()

            def is_done(state: Any) -> bool:
                side.clock.ahead += timedelta(hours=1)
                return state.parked == 0 and state.position >= head

            await side.wait_until(webhook, is_done, seconds=60)
    assert by_user(receiver) == positions
