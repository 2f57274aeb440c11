"""What the checks after a fault run are good for: each finds the log that was doctored for it."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from msgspec import Struct
from msgspec.structs import replace

from tests.support.http.agreement import disagreements as disagreements_over_http
from tests.support.http.load import Answer, Sent, registration
from tests.support.log.callers import Callers, contradictions, write_of
from tests.support.log.invariants import Write, differing
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
    """A log that was written to and projected, and all writes: the last one is the last of the log."""

    read_side: ReadSide
    writes: Sequence[Write]

    async def contradictions(self, last: Write | None = None) -> list[str]:
        writes = [*self.writes[:-1], last or self.writes[-1]]
        return await contradictions(self.read_side.url, writes)


@pytest.fixture
async def run(database_url: str) -> AsyncIterator[Run]:
    async with ReadSide.open(database_url) as read_side:
        async with Callers.of(read_side.events.log, 4) as callers:
            while len(callers.said) < 40:
                await asyncio.sleep(0.01)
        async with read_side.projecting():
            await read_side.caught_up()
        writes = sorted(map(write_of, callers.said), key=lambda write: write.told[0].position)
        yield Run(read_side, writes)


async def test_a_log_that_nobody_doctored_is_without_fault(run: Run) -> None:
    assert await run.contradictions() == []
    assert await differing(run.read_side.url, run.read_side.events) == []


@pytest.mark.parametrize(
    ("doctor", "breach"),
    [
        (DELETE, "was acknowledged and is not in the log"),
        (DOUBLE, "was acknowledged and caused"),
        (
            f"UPDATE stored_events SET notification_id = {LAST} + 1 WHERE notification_id = {LAST}",
            "was told",
        ),
        (
            f"UPDATE stored_events SET event_id = gen_random_uuid() WHERE notification_id = {LAST}",
            "was told",
        ),
        (
            f"DELETE FROM receipts WHERE position = {LAST}",
            "is there in part",
        ),
    ],
    ids=["lost", "double", "moved", "another", "without its receipt"],
)
async def test_an_acknowledged_write_is_in_the_log_once_and_as_acknowledged(
    run: Run, doctor: str, breach: str
) -> None:
    await execute(run.read_side.url, doctor)
    found = await run.contradictions()
    assert any(one.startswith(run.writes[-1].name) and breach in one for one in found), found


async def test_an_unacknowledged_write_is_in_the_log_once_or_not_at_all(run: Run) -> None:
    unknown = replace(run.writes[-1], told=())
    assert await run.contradictions(unknown) == []
    await execute(run.read_side.url, DOUBLE)
    assert any(
        "was never acknowledged and caused" in one for one in await run.contradictions(unknown)
    )


async def test_a_write_that_was_denied_is_not_in_the_log(run: Run) -> None:
    denied = replace(run.writes[-1], told=(), denied=True)
    assert await run.contradictions(denied) == [
        f"{denied.name} was told that nothing was recorded, and it was"
    ]
    await execute(run.read_side.url, DELETE)
    await execute(run.read_side.url, f"DELETE FROM receipts WHERE key = '{denied.name}'")
    assert await run.contradictions(denied) == []


async def test_half_of_a_write_is_no_write(run: Run) -> None:
    last = run.writes[-1]
    both = replace(last, causes=(*last.causes, "user.renamed"), told=())
    assert any("was never acknowledged and caused" in one for one in await run.contradictions(both))


async def test_what_nobody_wrote_is_not_in_the_log(run: Run) -> None:
    mine = replace(run, writes=run.writes[1:])
    assert await mine.contradictions() == [f"{run.writes[0].name} is nobody's"]


@pytest.mark.parametrize(
    ("doctor", "breach"),
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
async def test_a_log_has_no_hole_and_is_in_order(run: Run, doctor: str, breach: str) -> None:
    await execute(run.read_side.url, doctor)
    assert any(one.endswith(breach) for one in await run.contradictions())


@pytest.mark.parametrize(
    "doctor",
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
async def test_views_that_are_no_replay_are_found(run: Run, doctor: str) -> None:
    read_side = run.read_side
    await execute(read_side.url, doctor)
    if doctor is DOUBLE:
        # Said to be seen, and was not.
        await execute(read_side.url, f"UPDATE checkpoints SET position = {LAST}")
    assert await differing(read_side.url, read_side.events) != []


def test_over_http_the_same_log_is_held_against_the_same_writes() -> None:
    sent = Sent(registration("key"), [accepted()])
    assert disagreements_over_http([EVENT], [sent]) == []
    assert disagreements_over_http([], [sent]) == ["key was acknowledged and is not in the log"]
    for lie in (accepted(position=8), accepted(version=2), accepted(user="v")):
        (found,) = disagreements_over_http([EVENT], [Sent(sent.command, [lie])])
        assert found.startswith("key was told")
    again = Sent(sent.command, [accepted(), accepted()])
    assert disagreements_over_http([EVENT], [again]) == ["key was not told that it is a repeat"]


@pytest.mark.parametrize(
    ("slugs", "found"),
    [
        (["unavailable"], ["key was told that nothing was recorded, and it was"]),
        (["unavailable", "outcome-unknown"], []),
        (["overloaded", ""], []),
        (["outcome-unknown", "email-taken"], ["key was refused as email-taken"]),
    ],
)
def test_over_http_a_refusal_is_held_against_the_log(slugs: list[str], found: list[str]) -> None:
    refusals = [Answer(status=503, seconds=0, slug=slug) for slug in slugs]
    assert disagreements_over_http([EVENT], [Sent(registration("key"), refusals)]) == found


def accepted(user: str = "u", version: int = 1, position: int = 7) -> Answer:
    return Answer(status=201, seconds=0, user=user, version=version, position=position)
