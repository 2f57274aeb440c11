"""A webhook that was changed often is read from a snapshot, and is what all its events say."""

from collections.abc import AsyncIterator
from random import Random
from typing import Final
from uuid import UUID

import pytest
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from application.log.event_log import StreamSnapshot
from application.webhooks.service import Change, WebhookService
from application.webhooks.snapshots import SNAPSHOT_EVERY, SNAPSHOT_FORMAT, snapshot_of, state_of
from application.webhooks.states import OpenedBy, Replay, SecretVersion, WebhookAt, folded
from domain.errors import WebhookNotFound
from domain.webhook.commands import (
    ChangeWebhook,
    CreateWebhook,
    DisableWebhook,
    PauseWebhook,
    ReplayWebhook,
    ResumeWebhook,
    RotateSecret,
)
from domain.webhook.state import Webhook
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import EventStore, open_event_store
from tests.contracts.test_snapshot_format import AT
from tests.contracts.test_stored_forms import STREAM
from tests.support.log.drafts import context
from tests.support.log.webhook_events import REQUEST, USER
from tests.support.views.directory import execute

# As it is stored for good under the name of its format: a further field gives another name.
STORED: Final = (
    '{"id":"01890a5d-ac96-774b-bcce-b302099a8057","config":{"url":"https://hooks.example.com/",'
    '"types":["user.*"],"user":"01890a5d-ac99-7000-8000-000000000001","personal_data":"open",'
    '"description":null,"status":"paused","reason":"why",'
    '"rotated":"01890a5d-ac98-7000-8000-000000000001","replayed":null},"version":7,"position":90,'
    '"after":3,"created_at":"2026-01-02T03:04:05.678901Z","created_by":"token:t",'
    '"updated_at":"2026-01-02T03:04:05.678901Z","secret":{"version":4,"expires_at":null},'
    '"former_secret":{"version":1,"expires_at":"2026-01-02T03:04:05.678901Z"},'
    '"opened_by":{"actor":"token:t","at":"2026-01-02T03:04:05.678901Z"},'
    '"replay":{"version":6,"after":3,"until":null}}'
)
STATE: Final = WebhookAt(
    id=STREAM,
    config=Webhook(
        url="https://hooks.example.com/",
        types=("user.*",),
        user=USER,
        personal_data="open",
        description=None,
        status="paused",
        reason="why",
        rotated=REQUEST,
    ),
    version=7,
    position=90,
    after=3,
    created_at=AT,
    created_by="token:t",
    updated_at=AT,
    secret=SecretVersion(4),
    former_secret=SecretVersion(1, AT),
    opened_by=OpenedBy("token:t", AT),
    replay=Replay(6, 3, None),
)


def stored(state: bytes | None) -> StreamSnapshot:
    return StreamSnapshot(
        stream=STREAM,
        format=SNAPSHOT_FORMAT,
        version=7,
        position=90,
        created_at=AT,
        recorded_at=AT,
        state=state,
    )


def test_a_snapshot_is_stored_in_the_form_of_its_format() -> None:
    draft = snapshot_of(STATE)
    assert (draft.format, draft.state.decode()) == ("webhook/1", STORED)
    assert state_of(stored(draft.state)) == STATE


@pytest.mark.parametrize("state", [None, b"", b"{}", b"\xff"])
def test_a_snapshot_that_cannot_be_used_is_none(state: bytes | None) -> None:
    assert state_of(stored(state)) is None


@pytest.fixture
async def store(database_url: str, master_keys: str) -> AsyncIterator[EventStore]:
    async with open_event_store(database_url, MasterKeys.parse(master_keys)) as store:
        yield store


@pytest.fixture
def webhooks(store: EventStore) -> WebhookService:
    return WebhookService(store.log, store.webhooks)


async def changed_often(webhooks: WebhookService, times: int) -> UUID:
    """A webhook after its creation and this many random commands that each record one event."""
    random, webhook = Random(7), uuid7()
    create = CreateWebhook(url="https://hooks.example.com/", types=("user.*",))
    state = (await webhooks.create(webhook, create, context())).state
    for number in range(times):
        access = "sealed" if state.config.personal_data == "open" else "open"
        commands: list[Change] = [
            ChangeWebhook(url=f"https://hooks.example.com/{number}"),
            ChangeWebhook(personal_data=access),
            ChangeWebhook(description=str(number)),
            RotateSecret(uuid7()),
            ReplayWebhook(after=number, request=uuid7()),
            *(
                [PauseWebhook(str(number)), DisableWebhook("no-success")]
                if state.config.status == "active"
                else [ResumeWebhook()]
            ),
        ]
        state = (await webhooks.execute(webhook, random.choice(commands), context())).state
    return webhook


async def test_a_webhook_with_snapshots_is_what_all_its_events_say(
    store: EventStore, webhooks: WebhookService, database_url: str
) -> None:
    webhook = await changed_often(webhooks, 2 * SNAPSHOT_EVERY + 9)
    events = (await store.log.load(webhook)).events
    expected = folded(events)
    snapshots = "SELECT version FROM snapshots WHERE stream = %s ORDER BY version"
    versions = [version for (version,) in await execute(database_url, snapshots, webhook)]
    assert versions == [SNAPSHOT_EVERY, 2 * SNAPSHOT_EVERY]
    assert await webhooks.webhook(webhook) == expected
    # The events before the last snapshot are not read any more.
    await execute(
        database_url,
        "UPDATE stored_events SET state = '[]' WHERE originator_id = %s AND originator_version < 128",
        webhook,
    )
    assert await webhooks.webhook(webhook) == expected
    assert await store.webhooks.load([webhook]) == {webhook: expected}
    await webhooks.delete(webhook, context())
    with pytest.raises(WebhookNotFound):
        await webhooks.webhook(webhook)


@pytest.mark.parametrize("damage", ["form = 'webhook/0'", "sealed = '\\x00'"])
async def test_without_its_snapshots_a_webhook_is_the_same(
    store: EventStore, webhooks: WebhookService, database_url: str, damage: str
) -> None:
    webhook = await changed_often(webhooks, SNAPSHOT_EVERY + 3)
    expected = await webhooks.webhook(webhook)
    await execute(database_url, f"UPDATE snapshots SET {damage} WHERE stream = %s", webhook)
    assert (await store.webhooks.load([webhook])) == {webhook: expected}
    with capture_logs() as logs:
        assert await webhooks.webhook(webhook) == expected
    warned = [each["event"] for each in logs]
    assert warned == (["snapshot_unusable"] if "sealed" in damage else [])
    assert await webhooks.webhook(webhook) == expected
