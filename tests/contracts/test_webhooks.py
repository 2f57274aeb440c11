"""The commands of webhooks on a log in memory and on Postgres: one life, limits and races."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec import Struct
from uuid_utils.compat import uuid7

from application.errors import PreconditionFailed
from application.log.event_log import EventLog
from application.users.commands import IfMatch
from application.users.service import UserService
from application.webhooks.ports import LivingWebhook, WebhookDirectory
from application.webhooks.service import WebhookOutcome, WebhookService
from application.webhooks.states import FORMER_SECRET_SIGNS, Replay
from domain.errors import TooManyWebhooks, UserNotFound, WebhookNotFound
from domain.user.commands import DeleteUser, EraseUser
from domain.webhook.claims import MAX_WEBHOOKS
from domain.webhook.commands import (
    ChangeWebhook,
    CreateWebhook,
    PauseWebhook,
    ReplayWebhook,
    ResumeWebhook,
    RotateSecret,
)
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import open_event_store
from tests.support.doubles.event_log import InMemoryEventLog
from tests.support.doubles.webhooks import InMemoryWebhookDirectory
from tests.support.log.drafts import context, registration

URL = "https://hooks.example.com/in/f4c1"


class Hooks(Struct, frozen=True):
    log: EventLog
    directory: WebhookDirectory

    @property
    def commands(self) -> WebhookService:
        """As of one process."""
        return WebhookService(self.log, self.directory)

    async def create(self, webhook_id: UUID | None = None, **fields: Any) -> WebhookOutcome:
        given: dict[str, Any] = {"url": URL, "types": ("user.*",), **fields}
        command = CreateWebhook(**given)
        return await self.commands.create(webhook_id or uuid7(), command, context())


@pytest.fixture(params=["memory", "postgres"])
async def hooks(request: pytest.FixtureRequest, master_keys: str) -> AsyncIterator[Hooks]:
    if request.param == "memory":
        log = InMemoryEventLog(uuid7)
        yield Hooks(log, InMemoryWebhookDirectory(log))
        return
    url: str = request.getfixturevalue("database_url")
    async with open_event_store(url, MasterKeys.parse(master_keys)) as store:
        yield Hooks(store.log, store.webhooks)


async def test_a_webhook_is_what_its_events_say(hooks: Hooks) -> None:
    await hooks.log.append(registration())
    created = await hooks.create(personal_data="open", description="Payroll")
    webhook = created.state
    assert (webhook.version, webhook.position, webhook.after) == (1, 2, 2)
    assert (webhook.created_by, webhook.config.url) == ("token:t", URL)
    assert webhook.opened_by is not None
    assert webhook.opened_by.actor == "token:t"
    assert await hooks.commands.webhook(webhook.id) == webhook
    assert await hooks.commands.webhooks() == [webhook]
    assert await hooks.directory.living() == [LivingWebhook(webhook.id, 1)]


async def test_the_first_position_may_be_given(hooks: Hooks) -> None:
    assert (await hooks.create(after=0)).state.after == 0


async def test_closing_personal_data_ends_who_opened_it(hooks: Hooks) -> None:
    webhook = (await hooks.create(personal_data="open")).state
    closed = await hooks.commands.execute(
        webhook.id, ChangeWebhook(personal_data="sealed"), context()
    )
    assert closed.state.opened_by is None
    opened = await hooks.commands.execute(
        webhook.id, ChangeWebhook(personal_data="open"), context(actor="token:other")
    )
    assert opened.state.opened_by is not None
    assert opened.state.opened_by.actor == "token:other"
    assert opened.state == (await hooks.directory.load([webhook.id]))[webhook.id]


async def test_two_secrets_sign_for_a_day_after_a_rotation(hooks: Hooks) -> None:
    webhook = (await hooks.create()).state
    now = webhook.created_at
    assert [each.version for each in webhook.secrets(now)] == [1]
    rotated = (await hooks.commands.execute(webhook.id, RotateSecret(uuid7()), context())).state
    assert [each.version for each in rotated.secrets(rotated.updated_at)] == [2, 1]
    ends = rotated.updated_at + FORMER_SECRET_SIGNS
    assert [each.expires_at for each in rotated.secrets(now)] == [None, ends]
    assert len(rotated.secrets(ends - timedelta(microseconds=1))) == 2
    assert [each.version for each in rotated.secrets(ends)] == [2]
    again = (await hooks.commands.execute(webhook.id, RotateSecret(uuid7()), context())).state
    assert [each.version for each in again.secrets(again.updated_at)] == [3, 2]


async def test_a_command_that_changes_nothing_records_nothing(hooks: Hooks) -> None:
    created = await hooks.create()
    same = await hooks.commands.execute(created.state.id, ResumeWebhook(), context())
    assert same == created


async def test_a_replay_has_the_version_of_its_event(hooks: Hooks) -> None:
    webhook = (await hooks.create()).state
    command = ReplayWebhook(after=0, until=1, request=uuid7())
    replayed = await hooks.commands.execute(webhook.id, command, context())
    assert replayed.state.replay == Replay(2, 0, 1)
    assert await hooks.commands.execute(webhook.id, command, context()) == replayed


async def test_a_webhook_is_disabled_only_at_the_version_that_failed(hooks: Hooks) -> None:
    webhook = (await hooks.create()).state
    changed = ChangeWebhook(url="https://other.example.com/")
    state = (await hooks.commands.execute(webhook.id, changed, context())).state
    disable = hooks.commands.disable
    assert not await disable(webhook.id, "endpoint-gone", context(), seen=1)
    assert (await hooks.commands.webhook(webhook.id)).config.status == "active"
    assert await disable(webhook.id, "endpoint-gone", context(), seen=state.version)
    disabled = await hooks.commands.webhook(webhook.id)
    assert (disabled.config.status, disabled.config.reason) == ("disabled", "endpoint-gone")


async def test_a_command_is_applied_only_to_a_version_that_it_allows(hooks: Hooks) -> None:
    webhook = (await hooks.create()).state
    first = IfMatch(frozenset({1}))
    await hooks.commands.execute(webhook.id, PauseWebhook(), context(), if_match=first)
    with pytest.raises(PreconditionFailed):
        await hooks.commands.execute(webhook.id, ResumeWebhook(), context(), if_match=first)


async def test_a_deleted_webhook_is_gone_with_its_url(hooks: Hooks) -> None:
    webhook = (await hooks.create(description="Payroll")).state
    await hooks.commands.execute(webhook.id, PauseWebhook("they move house"), context())
    position = await hooks.commands.delete(webhook.id, context())
    assert await hooks.commands.delete(webhook.id, context()) == position
    assert await hooks.directory.living() == []
    assert await hooks.commands.webhooks() == []
    events = (await hooks.log.load(webhook.id)).events
    assert [recorded.is_erased for recorded in events] == [True, True, False]
    gone = (await hooks.directory.load([webhook.id]))[webhook.id]
    assert gone.config.status == "deleted"
    for command in (PauseWebhook(), RotateSecret(uuid7()), ChangeWebhook(url=URL)):
        with pytest.raises(WebhookNotFound):
            await hooks.commands.execute(webhook.id, command, context())
    with pytest.raises(WebhookNotFound):
        await hooks.commands.webhook(webhook.id)


async def test_what_never_was_is_not_found(hooks: Hooks) -> None:
    with pytest.raises(WebhookNotFound):
        await hooks.commands.execute(uuid7(), PauseWebhook(), context())
    with pytest.raises(WebhookNotFound):
        await hooks.commands.delete(uuid7(), context())
    assert await hooks.directory.load([uuid7()]) == {}
    assert await hooks.directory.load([]) == {}


async def test_a_repeated_creation_finds_the_first(hooks: Hooks) -> None:
    webhook_id = uuid7()
    assert await hooks.create(webhook_id) == await hooks.create(webhook_id)
    assert len(await hooks.directory.living()) == 1


async def test_concurrent_creations_take_different_places(hooks: Hooks) -> None:
    created = await asyncio.gather(*(hooks.create() for _ in range(12)))
    listed = await hooks.commands.webhooks()
    assert sorted(each.state.id for each in created) == sorted(each.id for each in listed)


async def test_concurrent_changes_of_one_webhook_are_all_recorded(hooks: Hooks) -> None:
    webhook = (await hooks.create()).state
    commands = [RotateSecret(uuid7()) for _ in range(8)]
    await asyncio.gather(
        *(hooks.commands.execute(webhook.id, each, context()) for each in commands)
    )
    assert (await hooks.commands.webhook(webhook.id)).version == 9


async def test_there_are_at_most_100_webhooks(hooks: Hooks) -> None:
    ids = [uuid7() for _ in range(MAX_WEBHOOKS - 2)]
    await asyncio.gather(*(hooks.create(each) for each in ids[:49]))
    await asyncio.gather(*(hooks.create(each) for each in ids[49:]))
    raced = await asyncio.gather(*(hooks.create() for _ in range(4)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in raced) == [
        "TooManyWebhooks",
        "TooManyWebhooks",
        "WebhookOutcome",
        "WebhookOutcome",
    ]
    assert await hooks.create(ids[0]) is not None, "a repeat finds the first"
    await hooks.commands.delete(ids[1], context())
    await hooks.create()
    with pytest.raises(TooManyWebhooks):
        await hooks.create()
    assert len(await hooks.directory.living()) == MAX_WEBHOOKS


async def test_a_user_is_no_webhook_and_a_webhook_is_no_user(hooks: Hooks) -> None:
    users = UserService(hooks.log)
    webhook = (await hooks.create()).state
    user = (await hooks.log.append(registration())).events[0].stream
    with pytest.raises(UserNotFound):
        await users.user_at(webhook.id)
    for command in (DeleteUser(), EraseUser()):
        with pytest.raises(UserNotFound):
            await users.execute(webhook.id, command, context())
    with pytest.raises(WebhookNotFound):
        await hooks.commands.execute(user, PauseWebhook(), context())
    with pytest.raises(WebhookNotFound):
        await hooks.commands.delete(user, context())
    assert (await hooks.commands.webhook(webhook.id)) == webhook
    assert (await users.user_at(user)).version == 1
