"""Requests for exports that may name a person: none from before is left when the receipt is written."""

import pytest
from uuid_utils.compat import uuid7

from application.erasure.coverage import BY_THE_APPEND
from application.errors import Unavailable
from application.exports.requests import AskedExport, SelectedExport
from tests.support.doubles.exports import InMemoryExports
from tests.support.views.erasing import SERVING, World, job_of, receipt_of


class AwayExports(InMemoryExports):
    """Exports that can be away."""

    is_away = False

    async def asked_before(self, position: int) -> bool:
        if self.is_away:
            raise Unavailable
        return await super().asked_before(position)


@pytest.fixture
async def exports() -> AwayExports:
    return AwayExports()


@pytest.fixture
async def world(exports: AwayExports) -> World:
    world = World(exports=exports)
    await world.register()
    world.views.move(2)
    return world


def asked(position: int) -> AskedExport:
    return AskedExport(id=uuid7(), actor="token:x", key=None, request="sealed", position=position)


async def test_an_earlier_request_is_waited_for(world: World, exports: AwayExports) -> None:
    export = await exports.record(asked(1))
    job = job_of(await world.erase())
    async with world.jobs.working():
        await world.until(job.id, lambda it: "Not reached yet: exports." in (it.error or ""))
        await exports.begin(export, 1)
        await exports.end(export, 1, SelectedExport(1, 1))
        done = await world.until(job.id, lambda it: it.state == "succeeded")
    assert done.result is not None
    assert done.result["covers"] == [*BY_THE_APPEND, *SERVING, "exports"]


async def test_a_later_request_does_not_hold_an_erasure_up(
    world: World, exports: AwayExports
) -> None:
    await exports.record(asked(2))
    assert receipt_of(await world.erase()).covers[-1] == "exports"


async def test_a_store_that_is_away_is_waited_for(world: World, exports: AwayExports) -> None:
    exports.is_away = True
    job = job_of(await world.erase())
    exports.is_away = False
    await world.jobs.run_queued()
    assert (await world.until(job.id, lambda it: it.state == "succeeded")).result is not None
