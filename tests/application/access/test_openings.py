"""Openings: who reads the data of many people is recorded once an hour, and delays no reader."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID, uuid5

import pytest
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from application.access import openings as module
from application.access.openings import Openings
from application.access.records import AccessRecords
from application.errors import Unavailable
from application.identity import PRESETS, Principal
from application.log.event_log import Appended, Draft
from domain.access.events import AccessOpened, Opened
from domain.event import Event, Recorded
from tests.support.doubles.event_log import InMemoryEventLog

LOG_ID = UUID("018f0000-0000-7000-8000-000000000001")
ADA = Principal(actor="token:ada", permissions=PRESETS["reader"], credential="token:0a")


class CountingLog(InMemoryEventLog):
    """Counts appends; `fails` makes them fail, `answers` holds them back while it is not set."""

    def __init__(self) -> None:
        super().__init__(uuid7)
        self.appends = 0
        self.fails = False
        self.answers = asyncio.Event()
        self.answers.set()

    async def append(self, draft: Draft) -> Appended:
        self.appends += 1
        await self.answers.wait()
        if self.fails:
            raise Unavailable
        return await super().append(draft)


class Clock:
    """A time that a test sets."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 1, 10, 59, 59, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


def process(log: CountingLog, clock: Clock) -> Openings:
    """The openings of one process."""
    return Openings(AccessRecords(log, partial(uuid5, LOG_ID)), clock)


async def opened(log: CountingLog) -> Sequence[Recorded[Event]]:
    return (await log.read(0, 100_000)).events


@pytest.fixture
async def log() -> CountingLog:
    return CountingLog()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def openings(log: CountingLog, clock: Clock) -> Openings:
    return process(log, clock)


async def test_the_first_read_of_a_caller_is_recorded_with_its_request(
    log: CountingLog, openings: Openings
) -> None:
    await openings.record(ADA, "users", "request-1")
    await openings.record(ADA, "users", "request-2")
    (recorded,) = await opened(log)
    assert recorded.event == AccessOpened(what="users", presented="token")
    assert (recorded.kind, recorded.version) == ("access", 1)
    assert (recorded.actor, recorded.correlation_id) == ("token:ada", "request-1")
    assert log.appends == 1


async def test_each_hour_place_and_credential_is_recorded(
    log: CountingLog, clock: Clock, openings: Openings
) -> None:
    session = Principal(
        actor="token:ada",
        permissions=PRESETS["reader"],
        credential="session:0b",
        kind="session",
    )
    whats: tuple[Opened, ...] = ("users", "events", "stream", "audit")
    for _ in range(2):
        for what in whats:
            for caller in (ADA, session, ADA):
                await openings.record(caller, what, "r")
        clock.time += timedelta(seconds=1)
    found = [each.event for each in await opened(log)]
    expected = [
        AccessOpened(what=what, presented=kind)
        for _ in range(2)
        for what in whats
        for kind in ("token", "session")
    ]
    assert found == expected
    assert log.appends == len(expected)


async def test_the_jwts_of_one_person_are_one_caller(log: CountingLog, openings: Openings) -> None:
    for actor in ("user:7", "user:7", "user:8"):
        caller = Principal(actor=actor, permissions=PRESETS["reader"], kind="oidc")
        await openings.record(caller, "audit", "r")
    assert [each.actor for each in await opened(log)] == ["user:7", "user:8"]


async def test_requests_at_the_same_moment_share_one_append(
    log: CountingLog, openings: Openings
) -> None:
    log.answers.clear()
    requests = [asyncio.create_task(openings.record(ADA, "users", "r")) for _ in range(20)]
    await asyncio.sleep(0.01)
    assert not any(request.done() for request in requests)
    log.answers.set()
    await asyncio.gather(*requests)
    assert (log.appends, len(await opened(log))) == (1, 1)


async def test_several_processes_record_one_event(log: CountingLog, clock: Clock) -> None:
    processes = [process(log, clock) for _ in range(5)]
    for _ in range(3):
        await asyncio.gather(*(each.record(ADA, "users", "r") for each in processes))
    assert len(await opened(log)) == 1
    assert log.appends == len(processes)


async def test_an_actor_is_not_confused_with_another_actor_and_a_credential(
    log: CountingLog, openings: Openings
) -> None:
    for actor, credential in (("user:a", None), ("user:a", "x"), ("user:ax", None)):
        caller = Principal(actor=actor, permissions=PRESETS["reader"], credential=credential)
        await openings.record(caller, "users", "r")
    assert len(await opened(log)) == 3


async def test_while_the_log_fails_answers_are_served_and_one_line_says_so(
    log: CountingLog, openings: Openings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.05)
    log.fails = True
    with capture_logs() as logs:
        for _ in range(100):
            await openings.record(ADA, "users", "r")
    assert log.appends == 1
    (line,) = logs
    assert (line["event"], line["what"]) == ("opening_not_recorded", "users")
    assert line["error"].startswith("Unavailable (")
    assert "ada" not in str(line)
    log.fails = False
    await asyncio.sleep(0.06)
    await openings.record(ADA, "users", "r")
    await asyncio.sleep(0)
    assert (log.appends, len(await opened(log))) == (2, 1)


async def test_a_frozen_log_delays_the_first_answer_only(
    log: CountingLog, openings: Openings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WAIT_SECONDS", 0.2)
    log.answers.clear()
    loop = asyncio.get_running_loop()
    began = loop.time()
    await openings.record(ADA, "users", "r")
    assert 0.19 < loop.time() - began < 1
    began = loop.time()
    for number in range(50):
        caller = Principal(actor=f"token:{number}", permissions=PRESETS["reader"])
        await openings.record(caller, "users", "r")
    assert loop.time() - began < 0.2
    log.answers.set()
    # What waited is recorded when the log answers again; from then on the first read waits again.
    async with asyncio.timeout(5):
        while len(await opened(log)) < 51:
            await asyncio.sleep(0.01)
    await openings.record(ADA, "audit", "r")
    assert len(await opened(log)) == 52


async def test_a_reader_that_leaves_does_not_end_the_append(
    log: CountingLog, openings: Openings
) -> None:
    log.answers.clear()
    request = asyncio.create_task(openings.record(ADA, "users", "r"))
    await asyncio.sleep(0)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    log.answers.set()
    await openings.record(ADA, "users", "r")
    assert (log.appends, len(await opened(log))) == (1, 1)


async def test_what_a_process_remembers_is_limited(
    log: CountingLog, openings: Openings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_REMEMBERED", 10)
    callers = [
        Principal(actor=f"token:{number}", permissions=PRESETS["reader"]) for number in range(25)
    ]
    for _ in range(2):
        for caller in callers:
            await openings.record(caller, "users", "r")
    # The log knows the ones that the process forgot.
    assert len(await opened(log)) == 25
    assert log.appends > 25
