"""Erasing a person: recorded at once, attested once every copy is gone, and the same when asked again."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from application.doorbell import view_bell
from application.erasure.coverage import BY_THE_APPEND, Coverage, ViewGeneration
from application.erasure.service import ErasureService
from application.errors import OutcomeUnknown, PreconditionFailed, Unavailable, UserGone
from application.jobs.model import Job
from application.users.commands import IfMatch
from domain.errors import UserNotFound
from domain.user.commands import ChangeUser, DeleteUser
from domain.values import PersonName
from tests.support.doubles.jobs import InMemoryJobs
from tests.support.log.drafts import context
from tests.support.views.erasing import SERVING, World, job_of, receipt_of


@pytest.fixture
async def world() -> World:
    world = World()
    await world.register()
    return world


async def test_the_receipt_says_what_is_clean_and_what_remains_until_when(world: World) -> None:
    receipt = await world.receipt()
    event = (await world.log.load(world.user_id)).events[-1]
    assert (receipt.user_id, receipt.position) == (str(world.user_id), event.position)
    assert datetime.fromisoformat(receipt.erased_at) == event.recorded_at
    assert receipt.covers == (*BY_THE_APPEND, *SERVING)
    until = datetime.fromisoformat(receipt.remains.until)
    assert until - event.recorded_at == timedelta(days=30)
    assert receipt.remains.where == ("freed-pages", "write-ahead-log")
    assert world.views.settled == [(view, 2) for view in SERVING]


async def test_asked_again_whoever_asks_and_whyever_the_answer_is_the_same(world: World) -> None:
    first = await world.receipt()
    again = await world.service.erase(world.user_id, "error", context("another", actor="token:x"))
    with_its_key_again = await world.service.erase(
        world.user_id, "error", context("another", actor="token:x")
    )
    assert (first, first) == (receipt_of(again), receipt_of(with_its_key_again))
    assert (again.replayed, with_its_key_again.replayed) == (False, True)
    assert await world.log.head() == 2


async def test_a_deleted_user_can_be_erased(world: World) -> None:
    await world.commands.execute(world.user_id, DeleteUser(), context())
    world.views.move(3)
    assert receipt_of(await world.erase())


async def test_who_was_never_there_cannot_be_erased(world: World) -> None:
    with pytest.raises(UserNotFound):
        await world.service.erase(uuid7(), "other", context())


async def test_a_version_is_asked_for_of_an_erased_user_too(world: World) -> None:
    with pytest.raises(PreconditionFailed):
        await world.erase(if_match=IfMatch(frozenset({7})))
    await world.receipt()
    with pytest.raises(PreconditionFailed):
        await world.erase(if_match=IfMatch(frozenset({1})))
    assert receipt_of(await world.erase(if_match=IfMatch(frozenset({2}))))


async def test_other_commands_are_not_answered_again_once_the_person_is_erased(
    world: World,
) -> None:
    rename = ChangeUser(name=PersonName.parse("Zoé"))
    await world.commands.execute(world.user_id, rename, context("rename"))
    world.views.move(3)
    assert receipt_of(await world.erase())
    with pytest.raises(UserGone):
        await world.commands.execute(world.user_id, rename, context("rename"))


async def test_what_is_not_clean_in_time_is_left_to_a_job(world: World) -> None:
    world.views.move(1)
    erasure = await world.erase(context(actor="token:admin"))
    assert erasure.position == 2
    job = job_of(erasure)
    assert (job.kind, job.actor) == ("erasure", "token:admin")
    assert set(job.arguments) == {"user_id", "position", "erased_at"}
    again = await world.erase()
    assert job_of(again).id == job.id

    async with world.jobs.working():
        waiting = await world.until(job.id, lambda job: job.error is not None)
        assert waiting.error is not None
        assert "views:users/1, views:headcount/1" in waiting.error
        await world.until(job.id, lambda job: (job.progress.done, job.progress.total) == (5, 7))
        world.views.move(2)
        done = await world.until(job.id, lambda job: job.state == "succeeded")
    receipt = receipt_of(await world.erase())
    assert done.result == {
        "user_id": receipt.user_id,
        "position": receipt.position,
        "erased_at": receipt.erased_at,
        "covers": list(receipt.covers),
        "remains": {"until": receipt.remains.until, "where": list(receipt.remains.where)},
    }


async def test_a_process_that_died_before_it_left_a_job_is_no_loss(world: World) -> None:
    """Asking again goes on from what is recorded."""

    class Dying(InMemoryJobs):
        async def submit(self, *arguments: Any, **options: Any) -> Job:
            raise Unavailable

    coverage = Coverage(world.views, None, world.doorbell)
    dying = ErasureService(world.commands, coverage, Dying(uuid7), timeout_seconds=0.01)
    with pytest.raises(OutcomeUnknown):
        await dying.erase(world.user_id, "error", context("key"))
    assert await world.log.head() == 2
    erasure = await world.service.erase(world.user_id, "error", context("key"))
    assert erasure.replayed
    world.views.move(2)
    assert receipt_of(await world.erase())


async def test_a_store_of_views_that_is_away_is_waited_for(world: World) -> None:
    world.views.is_away = True
    erasure = await world.erase()
    async with world.jobs.working():
        waiting = await world.until(job_of(erasure).id, lambda job: job.error is not None)
        assert waiting.error == "NotCleanYet: Not reached yet: views."
        world.views.move(2)
        world.views.is_away = False
        await world.until(job_of(erasure).id, lambda job: job.state == "succeeded")


@pytest.mark.parametrize("bell", ["users", "headcount"])
async def test_the_bell_of_a_view_ends_the_wait(world: World, bell: str) -> None:
    behind = ViewGeneration(bell, 2, False, {0: 1})
    world.views.others = [behind]
    world.views.move(2)
    service = ErasureService(
        world.commands, Coverage(world.views, None, world.doorbell), world.jobs
    )
    asked = asyncio.create_task(service.erase(world.user_id, "other", context()))
    await asyncio.sleep(0.02)
    assert not asked.done()
    world.views.others = [ViewGeneration(bell, 2, False, {0: 2})]
    world.doorbell.ring(view_bell(bell))
    async with asyncio.timeout(0.1):
        erasure = await asked
        assert f"views:{bell}/2" in receipt_of(erasure).covers


@pytest.mark.parametrize(
    "other",
    [
        ViewGeneration("users", 2, False, {0: 2, 1: 1}),
        ViewGeneration("left-over", 1, True, {0: 1}),
        ViewGeneration("users", 3, False, {0: 0}),
    ],
)
async def test_every_build_counts_in_all_its_partitions(
    world: World, other: ViewGeneration
) -> None:
    world.views.move(2)
    world.views.others = [other]
    erasure = await world.erase()
    async with world.jobs.working():
        waiting = await world.until(job_of(erasure).id, lambda job: job.error is not None)
    assert waiting.error == f"NotCleanYet: Not reached yet: {other}."


async def test_a_projection_without_any_build_is_missing(world: World) -> None:
    async def none() -> list[ViewGeneration]:
        return []

    world.views.generations = none  # pyright: ignore[reportAttributeAccessIssue]
    assert job_of(await world.erase())


async def test_who_erases_twice_at_once_gets_one_erasure(world: World) -> None:
    world.views.move(2)
    first, second = await asyncio.gather(world.erase(), world.erase(context("a key")))
    assert receipt_of(first) == receipt_of(second)
    assert await world.log.head() == 2
