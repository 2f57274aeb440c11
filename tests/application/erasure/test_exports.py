"""When the receipt is written, no earlier export request that may name the person is left."""

import pytest
from uuid_utils.compat import uuid7

from application.erasure.coverage import BY_THE_APPEND
from application.errors import Unavailable
from application.exports.requests import RequestedExport, SelectedExport
from tests.support.doubles.exports import InMemoryExports
from tests.support.views.erasing import SERVING, World, job_of, receipt_of


class AwayExports(InMemoryExports):
    """An export store that can be unavailable."""

    is_unavailable = False

    async def any_before(self, position: int) -> bool:
        if self.is_unavailable:
            raise Unavailable
        return await super().any_before(position)


@pytest.fixture
async def exports() -> AwayExports:
    return AwayExports()


@pytest.fixture
async def world(exports: AwayExports) -> World:
    world = World(exports=exports)
    await world.register()
    world.views.move(2)
    return world


def requested(position: int) -> RequestedExport:
    return RequestedExport(
        id=uuid7(), actor="token:x", key=None, request="sealed", position=position
    )


async def test_an_erasure_waits_for_an_earlier_request(world: World, exports: AwayExports) -> None:
    export = await exports.record(requested(1))
    job = job_of(await world.erase())
    async with world.jobs.working():
        await world.wait_for_job(
            job.id, lambda job: "Not reached yet: exports." in (job.error or "")
        )
        await exports.begin(export, 1)
        await exports.end(export, 1, SelectedExport(1, 1))
        done = await world.wait_for_job(job.id, lambda job: job.state == "succeeded")
    assert done.result is not None
    assert done.result["covers"] == [*BY_THE_APPEND, *SERVING, "exports"]


async def test_an_erasure_does_not_wait_for_a_later_request(
    world: World, exports: AwayExports
) -> None:
    await exports.record(requested(2))
    assert receipt_of(await world.erase()).covers[-1] == "exports"


async def test_an_erasure_waits_for_a_store_that_is_unavailable(
    world: World, exports: AwayExports
) -> None:
    exports.is_unavailable = True
    job = job_of(await world.erase())
    exports.is_unavailable = False
    await world.jobs.run_queued()
    assert (
        await world.wait_for_job(job.id, lambda job: job.state == "succeeded")
    ).result is not None
