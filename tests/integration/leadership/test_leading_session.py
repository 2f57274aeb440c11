"""The session that leads: one per process, one leader per name, and no lead outlives it."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from application.errors import Unavailable
from application.log.follower import NotLeading
from infrastructure.leadership import Lead, LeadingSession, lock_key
from tests.support.views.directory import execute

_SESSIONS = """
SELECT count(*) FROM pg_stat_activity
WHERE application_name = 'rollbook leader' AND datname = current_database()"""
_END = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE application_name = 'rollbook leader' AND datname = current_database()"""
_LOCKS = """
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


async def test_a_process_leads_everything_in_one_session_and_none_is_open_without_need(
    database_url: str,
) -> None:
    leading = LeadingSession(database_url)
    assert await execute(database_url, _SESSIONS) == [(0,)]
    async with AsyncExitStack() as stack:
        for name in "abcde":
            await stack.enter_async_context(leading.lead(name))
        assert await execute(database_url, _SESSIONS) == [(1,)]
        assert await execute(database_url, _LOCKS) == [(5,)]
    async with asyncio.timeout(5):
        while await execute(database_url, _SESSIONS) != [(0,)]:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("same_process", [True, False])
async def test_one_leads_at_a_time(database_url: str, same_process: bool) -> None:
    one = LeadingSession(database_url)
    other = one if same_process else LeadingSession(database_url)
    leaders = 0

    async def lead(session: LeadingSession) -> None:
        nonlocal leaders
        async with session.lead("a"):
            leaders += 1
            assert leaders == 1
            await asyncio.sleep(0.1)
            leaders -= 1

    async with asyncio.timeout(30):
        await asyncio.gather(*(lead(each) for each in (one, other, one, other)))


async def test_a_lead_that_ends_is_free_while_others_go_on(database_url: str) -> None:
    one, other = LeadingSession(database_url), LeadingSession(database_url)
    async with one.lead("kept") as kept:
        async with one.lead("released"):
            pass
        async with asyncio.timeout(5), other.lead("released"):
            kept.check()


async def test_a_candidate_that_is_cancelled_leaves_no_lock(database_url: str) -> None:
    one, other = LeadingSession(database_url), LeadingSession(database_url)
    async with other.lead("kept"):
        for seconds in (0.0, 0.001, 0.01, 0.05, 0.2):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(seconds), other.lead("a"):
                    await asyncio.sleep(10)
        async with asyncio.timeout(5), one.lead("a"):
            pass


async def test_with_its_session_every_lead_is_lost_and_can_be_taken_again(
    database_url: str,
) -> None:
    leading = LeadingSession(database_url)
    async with leading.lead("a") as first, leading.lead("b") as second:
        await execute(database_url, _END)
        async with asyncio.timeout(5):
            for lead in (first, second):
                with pytest.raises(NotLeading):
                    await _checked_for_ever(lead)
        async with asyncio.timeout(5), leading.lead("c") as third:
            third.check()
    async with asyncio.timeout(5), leading.lead("a") as again:
        again.check()


async def _checked_for_ever(lead: Lead) -> None:
    while True:
        lead.check()
        await asyncio.sleep(0.05)


async def test_without_a_server_no_lead_is_waited_for() -> None:
    with pytest.raises(Unavailable):
        async with LeadingSession("postgresql://127.0.0.1:1/none").lead("a"):
            pass


def test_no_two_names_share_a_lock() -> None:
    assert len({lock_key(f"name {n}") for n in range(10_000)}) == 10_000
