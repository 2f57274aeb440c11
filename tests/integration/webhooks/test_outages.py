"""An endpoint that fails costs one row and nobody else anything; nothing is lost or reordered."""

import asyncio
import random
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from application.live.notifications import Notification
from application.webhooks import health, reading
from domain.webhook.commands import ReplayWebhook, ResumeWebhook
from tests.support.log.drafts import change, registration
from tests.support.servers.postgres import scaled
from tests.support.views.directory import execute
from tests.support.webhooks.answers import Endpoint, Flaky
from tests.support.webhooks.delivering import WebhookSide, by_user, until
from tests.support.webhooks.receiver import Received, Receiver


def received_more(receiver: Receiver, than: int) -> bool:
    return len(receiver.received) > than


async def disabled(side: WebhookSide) -> Notification:
    """The notification, which follows the event."""
    async with asyncio.timeout(10):
        while not (found := await side.notifications.after(0, 10)):
            await asyncio.sleep(0.05)
    assert len(found) == 1
    return found[0][1]


async def rows(side: WebhookSide, table: str) -> int:
    return (await execute(side.url, f"SELECT count(*) FROM {table}"))[0][0]


async def test_one_user_that_fails_is_parked_alone_and_tried_again(side: WebhookSide) -> None:
    bad = uuid7()
    endpoint = Endpoint(refused=[bad])
    async with Receiver.open(endpoint) as receiver:
        webhook = await side.create(receiver.url)
        async with side.delivering():
            await side.register(4)
            await until(lambda: len(receiver.accepted) == 4)
            first = (await side.append([registration(bad)]))[0].position
            later = [(await side.append([change(bad, each)]))[0].position for each in (1, 2, 3)]
            positions = await side.record(users=10, versions=3)
            state = await side.wait_until(
                webhook, lambda state: state.parked == 1 and state.delivered == 34
            )
            assert state.failing_since is None
            [parked] = await side.parked(webhook)
            assert (parked.user, parked.position, parked.error) == (bad, first, "http-500")
            assert await rows(side, "webhook_parked") == 1
            # The first try has failed, and the endpoint now accepts these events.
            endpoint.refused.clear()
            assert await side.records.retry(webhook.id, bad)
            state = await side.wait_until(webhook, lambda state: state.parked == 0)
            newest = (await side.append([change(bad, 4)]))[0].position
            await until(lambda: receiver.accepted[-1].position == newest)
    assert by_user(receiver)[str(bad)] == [first, *later, newest]
    assert positions.items() <= by_user(receiver).items()
    assert len(receiver.accepted) == 4 + 4 + 30 + 1, "nothing was delivered twice"
    notification = (await side.notifications.after(0, 10))[0][1]
    assert str(webhook.id) in notification.message
    assert not await side.records.retry(webhook.id, bad)


@pytest.mark.long
async def test_parked_users_are_tried_again_with_growing_delay(side: WebhookSide) -> None:
    bad = uuid7()
    endpoint = Endpoint(refused=[bad])
    async with Receiver.open(endpoint) as receiver:
        webhook = await side.create(receiver.url)
        async with side.delivering():
            await side.register(1)
            await until(lambda: len(receiver.accepted) == 1)
            await side.append([registration(bad)])
            delays: list[float] = []
            for tries in range(1, 4):
                await side.wait_until(webhook, lambda state: state.parked == 1)
                async with asyncio.timeout(5):
                    while (parked := (await side.parked(webhook))[0]).tries != tries:
                        await asyncio.sleep(0.05)
                assert parked.next_attempt_at is not None
                delays.append((parked.next_attempt_at - side.clock()).total_seconds())
                side.clock.ahead += timedelta(seconds=delays[-1])
            endpoint.refused.clear()
            await side.wait_until(webhook, lambda state: state.parked == 0)
    assert delays == sorted(delays)
    assert 2 < delays[0] < 5.1
    assert delays[2] > 14
    assert len(receiver.accepted) == 2


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
            assert await rows(side, "webhook_parked") < 8
            assert await rows(side, "webhook_progress") == 2
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


async def test_a_burst_of_one_wrong_user_does_not_block_a_quiet_endpoint(
    side: WebhookSide,
) -> None:
    bad = uuid7()
    async with Receiver.open(Endpoint(refused=[bad])) as receiver:
        webhook = await side.create(receiver.url)
        await side.append([registration(bad)])
        for version in range(1, 120):
            await side.append([change(bad, version)])
        others = await side.register(3)
        async with side.delivering():
            await until(lambda: len(receiver.accepted) == 3)
            await side.wait_until(webhook, lambda state: state.parked == 1)
    assert sorted(each.position for each in receiver.accepted) == [each.position for each in others]


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


async def test_a_quiet_endpoint_with_parked_users_only_is_disabled_after_their_tries(
    side: WebhookSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PARKED_TRIES", 5)
    endpoint = Endpoint()
    async with Receiver.open(endpoint) as receiver:
        webhook = await side.create(receiver.url)
        async with side.delivering():
            await side.register(1)
            await until(lambda: receiver.accepted)
            endpoint.status = 503
            late = await side.register(1)
            await side.wait_until(webhook, lambda state: state.parked == 1)
            tries = 0
            async with asyncio.timeout(20):
                while (await side.service.webhook(webhook.id)).config.status == "active":
                    side.clock.ahead += timedelta(hours=1)
                    tries += 1
                    await until(partial(received_more, receiver, tries))
                    await asyncio.sleep(0.03)
            assert tries == 5
            endpoint.status = 204
            await side.execute(webhook, ResumeWebhook())
            await until(lambda: len(receiver.accepted) == 2)
            await side.wait_until(webhook, lambda state: state.parked == 0)
    assert receiver.accepted[-1].position == late[0].position


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
            in_transactions = "SELECT count(*) FROM pg_stat_activity WHERE xact_start < now()"
            assert (await execute(side.url, in_transactions))[0][0] == 0, "while requests wait"
            loop = asyncio.get_running_loop()
            began = loop.time()
            await side.register(100)
            await until(lambda: len(quick.accepted) == 120, seconds=5)
            assert loop.time() - began < 4
            await side.wait_until(healthy, lambda state: state.delivered == 120)


@pytest.mark.parametrize("is_replayed", [False, True])
async def test_a_parked_user_catches_up_while_the_webhook_reads_far_behind(
    side: WebhookSide, monkeypatch: pytest.MonkeyPatch, is_replayed: bool
) -> None:
    """Its later events are beyond the end of the replay, or not read yet: each comes once."""
    monkeypatch.setattr(reading, "_MAX_PAGE", 16)
    bad = uuid7()
    endpoint = Endpoint(refused=[bad])
    async with Receiver.open(endpoint) as receiver:
        webhook = await side.create(receiver.url)
        begin = await side.register(2)
        wanted = [(await side.append([registration(bad)]))[0].position]
        between = await side.register(120)
        wanted += [(await side.append([change(bad, each)]))[0].position for each in (1, 2)]
        if is_replayed:
            async with side.delivering():
                await side.wait_until(webhook, lambda state: state.position >= wanted[-1])
            receiver.accepted.clear()
            replay = ReplayWebhook(
                after=begin[0].position, until=between[-1].position, request=uuid7()
            )
            await side.execute(webhook, replay)
        endpoint.seconds = 0.08
        async with side.delivering():
            await until(lambda: len(receiver.accepted) > 10)
            endpoint.refused.clear()
            side.clock.ahead += timedelta(minutes=1)
            await until(lambda: len(by_user(receiver).get(str(bad), ())) == 3)
            await side.wait_until(
                webhook, lambda state: state.parked == 0 and state.position >= wanted[-1]
            )
            await asyncio.sleep(0.2)
    assert by_user(receiver)[str(bad)] == wanted
    assert len(receiver.accepted) == 120 + 3 + (1 if is_replayed else 2)


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
