"""The contract of receipts of administrative commands, beside those of the log."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final

import pytest
from msgspec import Struct
from uuid_utils.compat import uuid7

from application.context import Context, IdempotencyKey
from application.errors import IdempotencyMismatch, KeySeen
from application.log.event_log import Draft, EventLog, StreamRange
from application.receipts import AnswerReceipts, Execution, KeptAnswer
from domain.user.events import UserRegistered
from infrastructure.keys import MasterKeys
from infrastructure.receipts.postgres import PostgresAnswerReceipts
from interfaces.composition.event_store import open_event_store
from tests.support.doubles.event_log import InMemoryEventLog
from tests.support.doubles.receipts import InMemoryAnswerReceipts
from tests.support.servers.postgres import MASTER_KEYS
from tests.support.views.directory import execute

ACTOR: Final = "token:x"
KEY: Final = IdempotencyKey("k", b"one" * 8)
OTHER: Final = IdempotencyKey("k", b"two" * 8)
ANSWER: Final = KeptAnswer(202, {"location": "/v1/jobs/1"}, '{"id":"1"}')


class Kept(Struct):
    """The receipts, the log beside them, and a function after which an execution is silent."""

    receipts: AnswerReceipts
    log: EventLog
    silence: Callable[[], Awaitable[object]]


@pytest.fixture(params=["memory", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    return request.getfixturevalue("database_url") if request.param == "postgres" else None


@pytest.fixture
async def kept(url: str | None) -> AsyncGenerator[Kept]:
    if url is None:
        log = InMemoryEventLog(uuid7)
        receipts = InMemoryAnswerReceipts(log, uuid7)

        async def silence() -> None:
            receipts.silent.add((ACTOR, KEY.key))

        yield Kept(receipts, log, silence)
        return
    async with open_event_store(url, MasterKeys.parse(MASTER_KEYS)) as store:
        receipts = PostgresAnswerReceipts(store.database, store.keys, uuid7)
        earlier = "UPDATE receipts SET recorded_at = now() - interval '21 seconds'"
        yield Kept(receipts, store.log, lambda: execute(url, earlier))


async def begun(kept: Kept) -> Execution:
    execution = await kept.receipts.begin(ACTOR, KEY)
    assert isinstance(execution, Execution)
    return execution


def registration(key: IdempotencyKey) -> Draft:
    return Draft(
        kind="user",
        stream=uuid7(),
        after_version=0,
        events=(UserRegistered(name="Zoë", email="zoe@example.org", role="member"),),
        context=Context(actor=ACTOR, correlation_id="c", idempotency=key),
        status=201,
    )


async def test_the_first_request_is_carried_out_and_a_repeat_gets_its_answer(kept: Kept) -> None:
    execution = await begun(kept)
    assert execution.attempt == 1
    assert await kept.receipts.begin(ACTOR, KEY) is None
    await kept.receipts.end(ACTOR, KEY, execution, ANSWER)
    assert await kept.receipts.begin(ACTOR, KEY) == ANSWER
    await kept.silence()
    assert await kept.receipts.begin(ACTOR, KEY) == ANSWER


async def test_a_key_is_free_again_after_a_refusal(kept: Kept) -> None:
    first = await begun(kept)
    await kept.receipts.end(ACTOR, KEY, first, "refused")
    execution = await kept.receipts.begin(ACTOR, OTHER)
    assert isinstance(execution, Execution)
    assert execution.id != first.id


async def test_a_key_belongs_to_one_request_and_one_actor(kept: Kept) -> None:
    execution = await begun(kept)
    with pytest.raises(IdempotencyMismatch):
        await kept.receipts.begin(ACTOR, OTHER)
    await kept.receipts.end(ACTOR, KEY, execution, ANSWER)
    with pytest.raises(IdempotencyMismatch):
        await kept.receipts.begin(ACTOR, OTHER)
    assert isinstance(await kept.receipts.begin("token:y", OTHER), Execution)


async def test_a_silent_execution_is_taken_over_and_its_late_answer_changes_nothing(
    kept: Kept,
) -> None:
    first = await begun(kept)
    await kept.silence()
    with pytest.raises(IdempotencyMismatch):
        await kept.receipts.begin(ACTOR, OTHER)
    second = await begun(kept)
    assert second == Execution(first.id, 2)
    await kept.receipts.end(ACTOR, KEY, first, KeptAnswer(200, {}, "late"))
    await kept.receipts.end(ACTOR, KEY, first, "refused")
    assert await kept.receipts.begin(ACTOR, KEY) is None
    await kept.receipts.end(ACTOR, KEY, second, ANSWER)
    assert await kept.receipts.begin(ACTOR, KEY) == ANSWER


async def test_an_execution_with_an_unknown_outcome_goes_to_the_next_request(kept: Kept) -> None:
    first = await begun(kept)
    await kept.receipts.end(ACTOR, KEY, first, "unknown")
    with pytest.raises(IdempotencyMismatch):
        await kept.receipts.begin(ACTOR, OTHER)
    assert await begun(kept) == Execution(first.id, 2)


async def test_an_execution_that_goes_on_is_not_taken_over(kept: Kept) -> None:
    execution = await begun(kept)
    await kept.silence()
    await kept.receipts.prolong(ACTOR, KEY, execution)
    assert await kept.receipts.begin(ACTOR, KEY) is None


async def test_a_key_of_a_command_to_a_user_is_none_of_an_administrative_one(kept: Kept) -> None:
    await kept.log.append(registration(OTHER))
    with pytest.raises(IdempotencyMismatch):
        await kept.receipts.begin(ACTOR, KEY)


@pytest.mark.parametrize("is_ended", [False, True])
async def test_a_key_of_an_administrative_command_is_none_of_one_to_a_user(
    kept: Kept, is_ended: bool
) -> None:
    execution = await begun(kept)
    if is_ended:
        await kept.receipts.end(ACTOR, KEY, execution, ANSWER)
    with pytest.raises(KeySeen):
        await kept.log.append(registration(OTHER))
    loaded = await kept.log.load(uuid7(), StreamRange(limit=0), actor=ACTOR, idempotency=OTHER)
    assert loaded.receipt is not None
    assert not loaded.receipt.matches
