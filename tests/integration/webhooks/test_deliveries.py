"""Each event reaches the endpoint, in order for its user, signed, and with what it may contain."""

import asyncio
from datetime import timedelta

from standardwebhooks import Webhook
from uuid_utils.compat import uuid7

from domain.webhook.commands import (
    ChangeWebhook,
    PauseWebhook,
    ReplayWebhook,
    ResumeWebhook,
    RotateSecret,
)
from tests.support.log.drafts import context, erasure, registration
from tests.support.webhooks.delivering import WebhookSide, by_user, until
from tests.support.webhooks.receiver import Received, Receiver


async def test_each_event_is_delivered_once_and_in_order(side: WebhookSide) -> None:
    async def accept_slowly(_: Received) -> int:
        await asyncio.sleep(0.005)
        return 204

    async with Receiver.open(accept_slowly) as receiver:
        webhook = await side.create(receiver.url)
        async with side.delivering():
            positions = await side.record(users=30, versions=5)
            await until(lambda: len(receiver.accepted) >= 150)
            head = max(last for *_, last in positions.values())
            state = await side.wait_until(webhook, lambda state: state.position >= head)
    assert by_user(receiver) == positions
    assert len(receiver.received) == 150
    assert receiver.max_per_user == 1
    assert 1 < receiver.max_at_once <= 8
    assert (state.delivered, state.failed, state.parked) == (150, 0, 0)
    for request in receiver.received:
        secret = side.events.keys.webhook_secret(webhook.id, 1)
        Webhook(secret).verify(request.body, dict(request.headers))
        assert request.event_id == request.envelope["id"]


async def test_personal_data_is_sent_only_where_it_was_opened(side: WebhookSide) -> None:
    async with Receiver.open() as sealed, Receiver.open() as opened:
        await side.create(sealed.url)
        await side.create(opened.url, personal_data="open")
        [recorded, erased] = await side.append([registration(name="Åsa"), registration()])
        async with side.delivering():
            await until(lambda: len(sealed.accepted) == len(opened.accepted) == 2)
            await side.append([erasure(erased.stream, 1)])
            await until(lambda: len(sealed.accepted) == len(opened.accepted) == 3)
        later = await side.create(opened.url, personal_data="open", after=0)
        opened.accepted.clear()
        async with side.delivering():
            await until(lambda: len(opened.accepted) == 3)
        assert later.opened_by is not None
    texts = {request.event_id: request for request in sealed.accepted}
    assert texts[str(recorded.event_id)].envelope["personal"] == "sealed"
    assert texts[str(recorded.event_id)].envelope["data"]["name"] is None
    texts = {request.event_id: request for request in opened.accepted}
    assert texts[str(recorded.event_id)].envelope["data"]["name"] == "Åsa"
    assert texts[str(erased.event_id)].envelope["personal"] == "erased"
    assert texts[str(erased.event_id)].envelope["data"]["name"] is None


async def test_only_the_chosen_types_and_the_chosen_user(side: WebhookSide) -> None:
    async with Receiver.open() as roles, Receiver.open() as one:
        await side.create(roles.url, types=("user.role_changed",))
        user = uuid7()
        await side.create(one.url, user=user)
        async with side.delivering():
            positions = await side.record(users=5, versions=3)
            await side.append([registration(user)])
            await until(lambda: len(roles.accepted) == 10 and one.accepted)
    assert by_user(roles) == {user: later for user, (_, *later) in positions.items()}
    assert set(by_user(one)) == {str(user)}


async def test_deliveries_begin_after_the_webhook_or_where_it_says(side: WebhookSide) -> None:
    before = await side.register(3)
    async with Receiver.open() as new, Receiver.open() as old:
        await side.create(new.url)
        await side.create(old.url, after=before[0].position)
        after = await side.register(1)
        async with side.delivering():
            await until(lambda: new.accepted and len(old.accepted) == 3)
            await asyncio.sleep(0.3)
    assert [each.position for each in new.accepted] == [after[0].position]
    assert sorted(each.position for each in old.accepted) == [
        each.position for each in (*before[1:], *after)
    ]


async def test_a_pause_holds_the_position_and_a_resume_goes_on(side: WebhookSide) -> None:
    async with Receiver.open() as receiver:
        webhook = await side.create(receiver.url)
        async with side.delivering():
            await side.register(2)
            await until(lambda: len(receiver.accepted) == 2)
            await side.execute(webhook, PauseWebhook())
            await asyncio.sleep(0.6)
            positions = await side.record(users=4, versions=2)
            await asyncio.sleep(0.5)
            assert len(receiver.received) == 2
            await side.execute(webhook, ResumeWebhook())
            await until(lambda: len(receiver.accepted) == 10)
            await asyncio.sleep(0.2)
    assert len(receiver.received) == 10
    assert positions.items() <= by_user(receiver).items()


async def test_a_changed_url_gets_the_events_that_follow(side: WebhookSide) -> None:
    async with Receiver.open() as first, Receiver.open() as second:
        webhook = await side.create(first.url)
        async with side.delivering():
            await side.register(2)
            await until(lambda: len(first.accepted) == 2)
            await side.execute(webhook, ChangeWebhook(url=second.url))
            await side.register(1)
            await until(lambda: second.accepted or len(first.accepted) == 3)
            # A worker knows of the change within a second.
            await asyncio.sleep(0.6)
            await side.register(2)
            await until(lambda: len(second.accepted) >= 2)
    assert len(first.accepted) + len(second.accepted) == 5


async def test_after_a_rotation_both_secrets_sign_for_a_day(side: WebhookSide) -> None:
    async with Receiver.open() as receiver:
        webhook = await side.create(receiver.url)
        rotated = await side.execute(webhook, RotateSecret(uuid7()))
        async with side.delivering():
            await side.register(1)
            await until(lambda: receiver.accepted)
            # The signature's time is the present: only the age of the rotation is moved.
            side.clock.ahead = timedelta(days=1)
            await side.register(1)
            await until(lambda: len(receiver.accepted) == 2)
    signatures = [each.headers["webhook-signature"].split() for each in receiver.accepted]
    assert [len(each) for each in signatures] == [2, 1]
    for secret in rotated.secrets(side.clock()), webhook.secrets(side.clock()):
        text = side.events.keys.webhook_secret(webhook.id, secret[0].version)
        request = receiver.accepted[0]
        Webhook(text).verify(request.body, dict(request.headers))


async def test_a_replay_goes_back_and_then_on_where_it_was(side: WebhookSide) -> None:
    async with Receiver.open() as receiver:
        webhook = await side.create(receiver.url)
        events = await side.register(20)
        async with side.delivering():
            await side.wait_until(webhook, lambda state: state.position >= events[-1].position)
            assert len(receiver.accepted) == 20
            receiver.accepted.clear()
            await side.execute(
                webhook,
                ReplayWebhook(after=events[4].position, until=events[9].position, request=uuid7()),
            )
            await until(lambda: len(receiver.accepted) == 5)
            [new] = await side.register(1)
            await until(lambda: len(receiver.accepted) == 6)
            await side.wait_until(webhook, lambda state: state.position >= new.position)
            replayed = [each.position for each in receiver.accepted]
            assert sorted(replayed) == [each.position for each in (*events[5:10], new)]
            receiver.accepted.clear()
            await side.execute(webhook, ReplayWebhook(after=events[14].position, request=uuid7()))
            await until(lambda: len(receiver.accepted) == 6)
    assert sorted(each.position for each in receiver.accepted) == [
        each.position for each in (*events[15:], new)
    ]


async def test_the_records_of_a_deleted_webhook_are_removed(side: WebhookSide) -> None:
    async def refuse_all(_: Received) -> int:
        return 500

    async with Receiver.open(refuse_all) as receiver, Receiver.open() as other:
        webhook, kept = await side.create(receiver.url), await side.create(other.url)
        async with side.delivering():
            await side.register(3)
            await side.wait_until(webhook, lambda state: state.failed > 0)
            await side.wait_until(kept, lambda state: state.delivered == 3)
            await side.service.delete(webhook.id, context())
            async with asyncio.timeout(5):
                while webhook.id in await side.records.states():
                    await asyncio.sleep(0.05)
            assert not await side.records.attempts(webhook.id, None, 10)
            assert len(await side.records.attempts(kept.id, None, 10)) == 3
