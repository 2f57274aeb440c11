"""The checks after a fault run: each finds the damage that its test does to the log."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from msgspec import Struct
from msgspec.structs import replace

from tests.support.http.agreement import disagreements as disagreements_over_http
from tests.support.http.load import Answer, Sent, registration
from tests.support.log.callers import Callers, contradictions, write_of
from tests.support.log.invariants import Write, differing_views
from tests.support.views.directory import ReadSide, execute

EVENT = {
    "correlationid": "key",
    "type": "user.registered",
    "subject": "u",
    "version": 1,
    "position": "7",
    "id": "e",
    "time": "2026-03-01T09:30:00.000000Z",
}
LAST = "(SELECT max(notification_id) FROM stored_events)"
DELETE = f"DELETE FROM stored_events WHERE notification_id = {LAST}"
DOUBLE = f"""
INSERT INTO stored_events
SELECT (jsonb_populate_record(e, jsonb_build_object(
    'originator_id', gen_random_uuid(), 'originator_version', 1, 'event_id', gen_random_uuid(),
    'notification_id', notification_id + 1,
    'recorded_at', recorded_at + interval '1 second'))).*
FROM stored_events e WHERE notification_id = {LAST}"""


class Run(Struct, frozen=True):
    """A log with its views, and all writes in the order of their positions."""

    read_side: ReadSide
    writes: Sequence[Write]

    async def contradictions(self, last: Write | None = None) -> list[str]:
        writes = [*self.writes[:-1], last or self.writes[-1]]
        return await contradictions(self.read_side.url, writes)


@pytest.fixture
async def run(database_url: str) -> AsyncIterator[Run]:
    async with ReadSide.open(database_url) as read_side:
        async with Callers.of(read_side.events.log, 4) as callers:
            while len(callers.results) < 40:
                await asyncio.sleep(0.01)
        async with read_side.projecting():
            await read_side.caught_up()
        writes = sorted(
            map(write_of, callers.results), key=lambda write: write.acknowledged[0].position
        )
        yield Run(read_side, writes)


async def test_an_undamaged_log_has_no_contradiction(run: Run) -> None:
    assert await run.contradictions() == []
    assert await differing_views(run.read_side.url, run.read_side.events) == []


@pytest.mark.parametrize(
    ("damage", "breach"),
    [
        (DELETE, "was acknowledged and is not in the log"),
        (DOUBLE, "was acknowledged and caused"),
        (
            f"UPDATE stored_events SET notification_id = {LAST} + 1 WHERE notification_id = {LAST}",
            "was acknowledged at",
        ),
        (
            f"UPDATE stored_events SET event_id = gen_random_uuid() WHERE notification_id = {LAST}",
            "was acknowledged at",
        ),
        (
            f"DELETE FROM receipts WHERE position = {LAST}",
            "is there in part",
        ),
    ],
    ids=["lost", "double", "moved", "another", "without its receipt"],
)
async def test_an_acknowledged_write_is_in_the_log_once_and_as_acknowledged(
    run: Run, damage: str, breach: str
) -> None:
    await execute(run.read_side.url, damage)
    found = await run.contradictions()
    assert any(one.startswith(run.writes[-1].name) and breach in one for one in found), found


async def test_an_unacknowledged_write_is_in_the_log_once_or_not_at_all(run: Run) -> None:
    unknown = replace(run.writes[-1], acknowledged=())
    assert await run.contradictions(unknown) == []
    await execute(run.read_side.url, DOUBLE)
    assert any(
        "was never acknowledged and caused" in one for one in await run.contradictions(unknown)
    )


async def test_a_write_that_was_denied_is_not_in_the_log(run: Run) -> None:
    denied = replace(run.writes[-1], acknowledged=(), denied=True)
    assert await run.contradictions(denied) == [f"{denied.name} was denied and is in the log"]
    await execute(run.read_side.url, DELETE)
    await execute(run.read_side.url, f"DELETE FROM receipts WHERE key = '{denied.name}'")
    assert await run.contradictions(denied) == []


async def test_a_write_that_is_half_recorded_is_found(run: Run) -> None:
    last = run.writes[-1]
    both = replace(last, causes=(*last.causes, "user.renamed"), acknowledged=())
    assert any("was never acknowledged and caused" in one for one in await run.contradictions(both))


async def test_an_event_that_belongs_to_no_write_is_found(run: Run) -> None:
    mine = replace(run, writes=run.writes[1:])
    assert await mine.contradictions() == [f"{run.writes[0].name} belongs to no write"]


@pytest.mark.parametrize(
    ("damage", "breach"),
    [
        ("DELETE FROM stored_events WHERE originator_version = 2", "has 3 after version 1"),
        (
            f"UPDATE stored_events SET recorded_at = recorded_at - interval '1 day'"
            f" WHERE notification_id = {LAST}",
            "is no later than the one before it",
        ),
        (
            "UPDATE stored_events SET event_id = (SELECT event_id FROM stored_events"
            f" WHERE notification_id = 1) WHERE notification_id = {LAST}",
            "is in the log twice",
        ),
    ],
    ids=["hole", "clock", "same id"],
)
async def test_a_log_has_no_hole_and_is_in_order(run: Run, damage: str, breach: str) -> None:
    await execute(run.read_side.url, damage)
    assert any(one.endswith(breach) for one in await run.contradictions())


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE users_g1 SET role = 'nobody' WHERE id = (SELECT id FROM users_g1 LIMIT 1)",
        "UPDATE users_g1 SET version = version + 1 WHERE id = (SELECT id FROM users_g1 LIMIT 1)",
        "DELETE FROM users_g1 WHERE id = (SELECT id FROM users_g1 LIMIT 1)",
        "UPDATE headcount_g1_counters SET value = value + 1",
        DOUBLE,
        "INSERT INTO parked SELECT tenant, 'users', 1, originator_id, 9, 1, event_id, 'none', now()"
        " FROM stored_events WHERE notification_id = 1",
    ],
    ids=["field", "version", "missing", "counter", "unseen", "parked"],
)
async def test_views_that_differ_from_a_replay_are_found(run: Run, damage: str) -> None:
    read_side = run.read_side
    await execute(read_side.url, damage)
    if damage is DOUBLE:
        # The checkpoint claims that the view has the event, which it has not.
        await execute(read_side.url, f"UPDATE checkpoints SET position = {LAST}")
    assert await differing_views(read_side.url, read_side.events) != []


def test_over_http_the_log_is_compared_with_the_writes() -> None:
    sent = Sent(registration("key"), [accepted()])
    assert disagreements_over_http([EVENT], [sent]) == []
    assert disagreements_over_http([], [sent]) == ["key was acknowledged and is not in the log"]
    for wrong in (accepted(position=8), accepted(version=2), accepted(user="v")):
        (found,) = disagreements_over_http([EVENT], [Sent(sent.command, [wrong])])
        assert found.startswith("key was acknowledged at")
    again = Sent(sent.command, [accepted(), accepted()])
    assert disagreements_over_http([EVENT], [again]) == ["key was not answered as a repeat"]


@pytest.mark.parametrize(
    ("slugs", "found"),
    [
        (["unavailable"], ["key was denied and is in the log"]),
        (["unavailable", "outcome-unknown"], []),
        (["overloaded", ""], []),
        (["outcome-unknown", "email-taken"], ["key was refused as email-taken"]),
    ],
)
def test_over_http_a_refusal_is_compared_with_the_log(slugs: list[str], found: list[str]) -> None:
    refusals = [Answer(status=503, seconds=0, slug=slug) for slug in slugs]
    assert disagreements_over_http([EVENT], [Sent(registration("key"), refusals)]) == found


def accepted(user: str = "u", version: int = 1, position: int = 7) -> Answer:
    return Answer(status=201, seconds=0, user=user, version=version, position=position)
