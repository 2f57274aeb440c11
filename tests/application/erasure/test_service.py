"""Erasing a person: recorded at once, confirmed when every copy is gone, and idempotent."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from application.doorbell import view_bell
from application.erasure.coverage import BY_THE_APPEND, Coverage
from application.erasure.erased_views import ViewGeneration
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


async def test_the_receipt_lists_what_is_erased_and_what_remains_until_when(world: World) -> None:
    receipt = await world.receipt()
    event = (await world.log.load(world.user_id)).events[-1]
    assert (receipt.user_id, receipt.position) == (str(world.user_id), event.position)
    assert datetime.fromisoformat(receipt.erased_at) == event.recorded_at
    assert receipt.covers == (*BY_THE_APPEND, *SERVING)
    until = datetime.fromisoformat(receipt.remains.until)
    assert until - event.recorded_at == timedelta(days=30)
    assert receipt.remains.where == ("freed-pages", "write-ahead-log", "receipts")
    assert world.views.finished == [(view, 2) for view in SERVING]


async def test_a_repeated_erasure_gives_the_same_answer_for_any_actor_and_reason(
    world: World,
) -> None:
    first = await world.receipt()
    again = await world.service.erase(world.user_id, "error", context("another", actor="token:x"))
    replayed = await world.service.erase(
        world.user_id, "error", context("another", actor="token:x")
    )
    assert (first, first) == (receipt_of(again), receipt_of(replayed))
    assert (again.replayed, replayed.replayed) == (False, True)
    assert await world.log.head() == 2


async def test_a_deleted_user_can_be_erased(world: World) -> None:
    await world.commands.execute(world.user_id, DeleteUser(), context())
    world.views.move(3)
    assert receipt_of(await world.erase())


async def test_an_unknown_user_cannot_be_erased(world: World) -> None:
    with pytest.raises(UserNotFound):
        await world.service.erase(uuid7(), "other", context())


async def test_if_match_also_applies_to_an_erased_user(world: World) -> None:
    with pytest.raises(PreconditionFailed):
        await world.erase(if_match=IfMatch(frozenset({7})))
    await world.receipt()
    with pytest.raises(PreconditionFailed):
        await world.erase(if_match=IfMatch(frozenset({1})))
    assert receipt_of(await world.erase(if_match=IfMatch(frozenset({2}))))


async def test_other_commands_are_not_replayed_after_the_erasure(
    world: World,
) -> None:
    rename = ChangeUser(name=PersonName.parse("Zoé"))
    await world.commands.execute(world.user_id, rename, context("rename"))
    world.views.move(3)
    assert receipt_of(await world.erase())
    with pytest.raises(UserGone):
        await world.commands.execute(world.user_id, rename, context("rename"))


async def test_a_job_finishes_an_erasure_that_times_out(world: World) -> None:
    world.views.move(1)
    erasure = await world.erase(context(actor="token:admin"))
    assert erasure.position == 2
    job = job_of(erasure)
    assert (job.kind, job.actor) == ("erasure", "token:admin")
    assert set(job.arguments) == {"user_id", "position", "erased_at"}
    again = await world.erase()
    assert job_of(again).id == job.id

    async with world.sweeping():
        waiting = await world.wait_for_job(job.id, lambda job: job.error is not None)
        assert waiting.error is not None
        assert "views:users/1, views:headcount/1" in waiting.error
        await world.wait_for_job(
            job.id, lambda job: (job.progress.done, job.progress.total) == (5, 7)
        )
        world.views.move(2)
        done = await world.wait_for_job(job.id, lambda job: job.state == "succeeded")
    receipt = receipt_of(await world.erase())
    assert done.result == {
        "user_id": receipt.user_id,
        "position": receipt.position,
        "erased_at": receipt.erased_at,
        "covers": list(receipt.covers),
        "remains": {"until": receipt.remains.until, "where": list(receipt.remains.where)},
    }


async def test_an_erasure_continues_after_a_process_died_before_it_submitted_a_job(
    world: World,
) -> None:
    """A repeated request continues from the recorded event."""

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


async def test_the_job_waits_for_a_view_store_that_is_unavailable(world: World) -> None:
    world.views.is_unavailable = True
    erasure = await world.erase()
    async with world.sweeping():
        waiting = await world.wait_for_job(job_of(erasure).id, lambda job: job.error is not None)
        assert waiting.error == "Not reached yet: views."
        world.views.move(2)
        world.views.is_unavailable = False
        await world.wait_for_job(job_of(erasure).id, lambda job: job.state == "succeeded")


@pytest.mark.parametrize("bell", ["users", "headcount"])
async def test_the_bell_of_a_view_ends_the_wait(world: World, bell: str) -> None:
    behind = ViewGeneration(bell, 2, False, 1)
    world.views.others = [behind]
    world.views.move(2)
    service = ErasureService(
        world.commands, Coverage(world.views, None, world.doorbell), world.jobs
    )
    erasing = asyncio.create_task(service.erase(world.user_id, "other", context()))
    await asyncio.sleep(0.02)
    assert not erasing.done()
    world.views.others = [ViewGeneration(bell, 2, False, 2)]
    world.doorbell.ring(view_bell(bell))
    async with asyncio.timeout(0.1):
        erasure = await erasing
        assert f"views:{bell}/2" in receipt_of(erasure).covers


@pytest.mark.parametrize(
    "other",
    [
        ViewGeneration("users", 2, False, 1),
        ViewGeneration("left-over", 1, True, 1),
        ViewGeneration("users", 3, False, 0),
    ],
)
async def test_the_job_waits_for_every_generation(world: World, other: ViewGeneration) -> None:
    world.views.move(2)
    world.views.others = [other]
    erasure = await world.erase()
    async with world.sweeping():
        waiting = await world.wait_for_job(job_of(erasure).id, lambda job: job.error is not None)
    assert waiting.error == f"Not reached yet: {other}."


async def test_a_projection_without_a_generation_is_not_clean(world: World) -> None:
    async def none() -> list[ViewGeneration]:
        return []

    world.views.generations = none  # pyright: ignore[reportAttributeAccessIssue]
    assert job_of(await world.erase())


async def test_two_concurrent_erasures_are_recorded_once(world: World) -> None:
    world.views.move(2)
    first, second = await asyncio.gather(world.erase(), world.erase(context("a key")))
    assert receipt_of(first) == receipt_of(second)
    assert await world.log.head() == 2
