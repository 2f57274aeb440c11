"""A user whose deliveries fail is parked alone, tried again, and catches up without a gap."""

import asyncio
from datetime import timedelta
from functools import partial

import pytest
from uuid_utils.compat import uuid7

from application.webhooks import health, reading
from domain.webhook.commands import ReplayWebhook, ResumeWebhook
from tests.support.log.drafts import change, registration
from tests.support.webhooks.answers import Endpoint
from tests.support.webhooks.delivering import WebhookSide, by_user, received_more, until
from tests.support.webhooks.receiver import Receiver


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
            assert await side.rows("webhook_parked") == 1
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
