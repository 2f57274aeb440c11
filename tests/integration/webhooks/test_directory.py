"""Webhooks in Postgres: one that cannot be read breaks no other, and nothing secret is stored."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import psycopg
import pytest
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from application.errors import StreamUnreadable
from application.log.sealed import Sealed, sealed_envelope
from application.webhooks.service import WebhookService
from domain.errors import WebhookUnreadable
from domain.event import ERASED
from domain.webhook.claims import PLACES, SCOPE
from domain.webhook.commands import CreateWebhook, PauseWebhook
from infrastructure.event_store.feed import PostgresSealedFeed
from infrastructure.event_store.webhooks import LIVING
from infrastructure.keys import MasterKeyRing, MasterKeys
from interfaces.composition.event_store import EventStore, open_event_store
from tests.support.log.drafts import context
from tests.support.views.directory import execute

PASSWORD = "f4c1a9d07e"
CREATE = CreateWebhook(url=f"https://hooks.example.com/{PASSWORD}", types=("user.*",))


@pytest.fixture
async def store(database_url: str, master_keys: str) -> AsyncIterator[EventStore]:
    async with open_event_store(database_url, MasterKeys.parse(master_keys)) as store:
        yield store


@pytest.fixture
def webhooks(store: EventStore) -> WebhookService:
    return WebhookService(store.log, store.webhooks)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE subject_keys SET wrapped = decode('00', 'hex') WHERE subject = '{id}'",
        "UPDATE stored_events SET topic = 'webhook.unknown' WHERE originator_id = '{id}'",
        "UPDATE stored_events SET state = '[]' WHERE originator_id = '{id}'",
    ],
    ids=["key", "topic", "state"],
)
async def test_a_webhook_that_cannot_be_read_breaks_no_other_and_can_be_deleted(
    store: EventStore, webhooks: WebhookService, database_url: str, damage: str
) -> None:
    broken, sound = [(await webhooks.create(uuid7(), CREATE, context())).state.id for _ in range(2)]
    await execute(database_url, damage.format(id=broken))
    with capture_logs() as logs:
        assert [each.id for each in await webhooks.webhooks()] == [sound]
    assert [(each["event"], each["webhook"]) for each in logs] == [
        ("webhook_unreadable", str(broken))
    ]
    assert {each.id for each in await store.webhooks.living()} == {broken, sound}
    with pytest.raises(StreamUnreadable):
        await webhooks.execute(broken, PauseWebhook(), context())
    await webhooks.delete(broken, context())
    assert [each.id for each in await store.webhooks.living()] == [sound]


async def test_a_webhook_whose_key_is_lost_is_listed_without_its_url(
    webhooks: WebhookService, database_url: str
) -> None:
    webhook = (await webhooks.create(uuid7(), CREATE, context())).state
    await execute(database_url, f"DELETE FROM subject_keys WHERE subject = '{webhook.id}'")
    (listed,) = await webhooks.webhooks()
    assert listed.config.url is ERASED
    with pytest.raises(WebhookUnreadable):
        await webhooks.execute(webhook.id, PauseWebhook(), context())
    await webhooks.delete(webhook.id, context())
    assert await webhooks.webhooks() == []


async def test_neither_a_url_nor_a_secret_is_in_the_database(
    store: EventStore, webhooks: WebhookService, database_url: str
) -> None:
    webhook = (await webhooks.create(uuid7(), CREATE, context())).state
    secret = store.keys.webhook_secret(webhook.id, webhook.secret.version)
    tables = await execute(
        database_url,
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'",
    )
    for (table,) in tables:
        for (row,) in await execute(database_url, f'SELECT t::text FROM "{table}" t'):
            for text in (PASSWORD, secret, secret.removeprefix("whsec_")):
                assert text not in row
                assert text.encode().hex() not in row


async def test_messages_carry_the_url_sealed_and_after_the_deletion_nobody_can_open_it(
    store: EventStore, webhooks: WebhookService
) -> None:
    webhook = (await webhooks.create(uuid7(), CREATE, context())).state.id
    feed = PostgresSealedFeed(store.database)
    for personal in ("sealed", "erased"):
        created = (await feed.read(0, 10)).events[0]
        assert isinstance(created.event, Sealed)
        envelope = sealed_envelope(created, created.event, store.identity.id)
        assert (envelope.type, envelope.subject) == ("webhook.created", webhook)
        assert (envelope.personal, envelope.data["types"]) == (personal, ("user.*",))
        assert PASSWORD not in msgspec.json.encode(envelope).decode()
        if personal == "sealed":
            await webhooks.delete(webhook, context())


def test_a_secret_follows_from_the_index_key_the_webhook_and_the_version(master_keys: str) -> None:
    masters, webhook = MasterKeys.parse(master_keys), uuid7()
    ring = MasterKeyRing(masters, bytes(range(32)))
    secret = ring.webhook_secret(webhook, 1)
    assert MasterKeyRing(masters, bytes(range(32))).webhook_secret(webhook, 1) == secret
    assert secret.startswith("whsec_")
    others = {
        ring.webhook_secret(webhook, 2),
        ring.webhook_secret(uuid7(), 1),
        MasterKeyRing(masters, bytes(32)).webhook_secret(webhook, 1),
    }
    assert len(others - {secret}) == 3


async def test_living_webhooks_are_found_without_reading_other_claims(
    store: EventStore, webhooks: WebhookService, database_url: str
) -> None:
    """Every worker runs this statement each second, however many users there are."""
    await webhooks.create(uuid7(), CREATE, context())
    await execute(
        database_url,
        """INSERT INTO claims (tenant, scope, value, stream_id)
        SELECT 'main', 'email', sha256(n::text::bytea), gen_random_uuid()
        FROM generate_series(1, 20000) AS n""",
    )
    await execute(database_url, "ANALYZE claims")
    places = [store.keys.claim(SCOPE, place) for place in PLACES]
    parameters = {"places": places, "scope": SCOPE, "tenant": "main"}
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        explain = f"EXPLAIN (ANALYZE, FORMAT JSON) {LIVING}"
        cursor = await connection.execute(explain.encode(), parameters)
        ((plans,),) = await cursor.fetchall()
    scans = list(scans_of(plans[0]["Plan"]))
    assert {scan["Relation Name"] for scan in scans} == {"claims", "stored_events"}
    # Before Postgres 18 the rows of a hundred loops are rounded to whole ones for each loop.
    assert sum(rows_of(scan) for scan in scans) <= 2, "the claim, and its last event"


def scans_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "Relation Name" in plan:
        yield plan
    for child in plan.get("Plans", ()):
        yield from scans_of(child)


def rows_of(scan: dict[str, Any]) -> int:
    read = scan["Actual Rows"] + scan.get("Rows Removed by Filter", 0)
    return round(read * scan["Actual Loops"])
