"""Tokens in Postgres: what is stored, what a broken one breaks, and which rows a look-up reads."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import psycopg
import pytest
from msgspec import Struct
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from application.access.tokens import TokenOutcome, TokenService
from application.access.tokens_credentials import TokenCredentials
from application.errors import StreamUnreadable
from application.log.sealed import Sealed
from domain.errors import TooManyTokens
from domain.token.claims import MAX_TOKENS, SCOPES
from domain.token.commands import IssueToken, RotateToken
from infrastructure.event_store.feed import PostgresSealedFeed
from infrastructure.event_store.tokens import COUNT, HOLDERS, LIVING
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import EventStore, open_event_store
from interfaces.composition.tokens import token_credentials, token_service
from tests.integration.webhooks.test_directory import rows_of, scans_of
from tests.support.log.drafts import context
from tests.support.views.directory import execute

OTHER_CLAIMS: Final = """
INSERT INTO claims (tenant, scope, value, stream_id)
SELECT 'main', 'email', sha256(n::text::bytea), gen_random_uuid()
FROM generate_series(1, 20000) AS n"""
MANY_TOKENS: Final = """
INSERT INTO claims (tenant, scope, value, stream_id)
SELECT 'main', 'token-1', sha256(n::text::bytea), gen_random_uuid()
FROM generate_series(1, %s) AS n"""


class Tokens(Struct, frozen=True):
    store: EventStore
    commands: TokenService
    callers: TokenCredentials

    async def issue(self) -> TokenOutcome:
        command = IssueToken(
            name="crm", permissions=frozenset({"users:read"}), now=datetime.now(UTC)
        )
        return await self.commands.issue(uuid7(), command, context())

    async def rotate(self, token_id: UUID, overlap: timedelta) -> TokenOutcome:
        command = RotateToken(request=uuid7(), overlap=overlap, now=datetime.now(UTC))
        return await self.commands.rotate(token_id, command, context())

    def credential(self, outcome: TokenOutcome) -> str:
        credential = self.callers.credential(outcome.secret or "")
        assert credential is not None
        return credential


@pytest.fixture
async def tokens(database_url: str, master_keys: str) -> AsyncIterator[Tokens]:
    async with open_event_store(database_url, MasterKeys.parse(master_keys)) as store:
        yield Tokens(store, token_service(store), token_credentials(store))


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE stored_events SET topic = 'token.unknown' WHERE originator_id = '{id}'",
        "UPDATE stored_events SET state = '[]' WHERE originator_id = '{id}'",
        "UPDATE stored_events SET topic = 'token.revoked', state = '{{\"data\":{{}}}}' "
        "WHERE originator_id = '{id}' AND originator_version = 1",
    ],
    ids=["topic", "state", "history"],
)
async def test_a_token_that_cannot_be_read_is_refused_breaks_no_other_and_can_be_revoked(
    tokens: Tokens, database_url: str, damage: str
) -> None:
    broken, sound = await tokens.issue(), await tokens.issue()
    await tokens.rotate(broken.state.id, timedelta(hours=1))
    await execute(database_url, damage.format(id=broken.state.id))
    credentials = [tokens.credential(each) for each in (broken, sound)]
    with capture_logs() as logs:
        for _ in range(2):
            assert (await tokens.callers.find(credentials)).keys() == {credentials[1]}
        await tokens.callers.used(credentials)
        listed = (await tokens.commands.tokens(None, 10)).tokens
    assert [each.id for each in listed] == [sound.state.id]
    unreadable = [each for each in logs if each["event"] == "token_unreadable"]
    assert [each["token"] for each in unreadable] == [str(broken.state.id)], "logged once"
    await tokens.commands.revoke(broken.state.id, context())
    claims = await execute(database_url, "SELECT DISTINCT stream_id FROM claims")
    assert claims == [(sound.state.id,)]


async def test_a_command_to_a_token_that_cannot_be_read_is_refused(
    tokens: Tokens, database_url: str
) -> None:
    broken = await tokens.issue()
    await execute(database_url, "UPDATE stored_events SET topic = 'token.unknown'")
    with pytest.raises(StreamUnreadable):
        await tokens.rotate(broken.state.id, timedelta())


async def test_neither_a_secret_nor_its_credential_is_in_the_database(
    tokens: Tokens, database_url: str
) -> None:
    issued = await tokens.issue()
    rotated = await tokens.rotate(issued.state.id, timedelta(hours=1))
    await tokens.callers.used([tokens.credential(issued)])
    sought = [issued.secret or "", rotated.secret or ""]
    sought += [tokens.credential(each).removeprefix("token:") for each in (issued, rotated)]
    tables = await execute(
        database_url,
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'",
    )
    rows = [
        row
        for (table,) in tables
        for (row,) in await execute(database_url, f'SELECT t::text FROM "{table}" t')
    ]
    assert any(str(issued.state.id) in row for row in rows)
    for text in sought:
        assert not any(text in row or text.encode().hex() in row for row in rows)


async def test_messages_carry_what_is_no_secret(tokens: Tokens) -> None:
    issued = await tokens.issue()
    await tokens.rotate(issued.state.id, timedelta(hours=1))
    for recorded in (await PostgresSealedFeed(tokens.store.database).read(0, 10)).events:
        assert isinstance(recorded.event, Sealed)
        assert recorded.event.value is None
        assert recorded.event.fields.keys() <= {
            "name",
            "permissions",
            "expires_at",
            "request",
            "former_expires_at",
        }


async def test_more_credentials_than_one_statement_takes_are_found(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrastructure.event_store.tokens._PIECE", 2)
    credentials = [tokens.credential(await tokens.issue()) for _ in range(5)]
    assert (await tokens.callers.find(credentials)).keys() == set(credentials)


async def test_a_state_is_that_of_the_version_at_which_the_claim_was_found(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two rotations between the two statements: the first secret must not count as the third."""
    first = await tokens.issue()
    await tokens.rotate(first.state.id, timedelta(hours=1))
    credential, database = tokens.credential(first), tokens.store.database
    real = database.rows

    async def rows(query: str | bytes, *arguments: Any, **options: Any) -> Any:
        if "token.id" in str(query):
            monkeypatch.undo()
            await tokens.rotate(first.state.id, timedelta(hours=1))
        return await real(query, *arguments, **options)

    monkeypatch.setattr(database, "rows", rows)
    fresh = token_credentials(tokens.store)
    stale = (await fresh.find([credential]))[credential]
    assert stale.expires_at is not None, "it was the former secret, with an end"
    assert await fresh.find([credential]) == {}


async def test_there_are_at_most_10_000_tokens(tokens: Tokens, database_url: str) -> None:
    issued = await tokens.issue()
    await execute(database_url, MANY_TOKENS, MAX_TOKENS - 1)
    with pytest.raises(TooManyTokens):
        await tokens.issue()
    await tokens.commands.revoke(issued.state.id, context())
    await tokens.issue()


async def test_a_look_up_reads_the_rows_of_its_tokens_only(
    tokens: Tokens, database_url: str
) -> None:
    """Every process runs it each second, however many users there are."""
    credentials = [tokens.credential(await tokens.issue()) for _ in range(3)]
    keys = tokens.store.keys
    asked = [(scope, keys.claim(scope, each)) for each in credentials for scope in SCOPES]
    parameters = {
        "values": [value for _, value in asked],
        "scopes": [scope for scope, _ in asked],
        "tenant": "main",
    }
    for is_full in (False, True):
        if is_full:
            await execute(database_url, OTHER_CLAIMS)
            await execute(database_url, "ANALYZE claims")
        plan = await explained(database_url, HOLDERS, parameters)
        scans = list(scans_of(plan))
        assert {scan["Relation Name"] for scan in scans} == {"claims", "stored_events"}
        assert sum(rows_of(scan) for scan in scans) <= 2 * len(credentials)


async def test_the_list_reads_the_claims_of_tokens_only(tokens: Tokens, database_url: str) -> None:
    for _ in range(3):
        await tokens.issue()
    await execute(database_url, OTHER_CLAIMS)
    await execute(database_url, "ANALYZE claims")
    page = {"after": UUID(int=0), "limit": 50, "tenant": "main"}
    for query, parameters in ((LIVING, page), (COUNT, ("main", MAX_TOKENS))):
        scans = list(scans_of(await explained(database_url, query, parameters)))
        assert sum(rows_of(scan) for scan in scans) <= 6, query


async def explained(url: str, query: str, parameters: Mapping[str, Any] | tuple[Any, ...]) -> Any:
    """The plan of a statement that was executed, with the settings of the pool's connections."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute("SET enable_seqscan = off")
        cursor = await connection.execute(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {query}".encode(), parameters
        )
        ((plans,),) = await cursor.fetchall()
    return plans[0]["Plan"]
