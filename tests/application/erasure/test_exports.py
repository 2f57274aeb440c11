"""When the receipt is written, no earlier export request that may name the person is left."""

import pytest
from uuid_utils.compat import uuid7

from application.audit.search import AuditQuery
from application.erasure.coverage import BY_THE_APPEND
from application.errors import Unavailable
from application.exports.requests import ExportSpec, RequestedExport, SelectedExport
from application.queries.directory import UserList
from tests.support.doubles.exports import InMemoryExports
from tests.support.views.erasing import SERVING, World, job_of, receipt_of


class AwayExports(InMemoryExports):
    """An export store that can be unavailable."""

    is_unavailable = False

    async def oldest_naming(self) -> int | None:
        if self.is_unavailable:
            raise Unavailable
        return await super().oldest_naming()


@pytest.fixture
async def exports() -> AwayExports:
    return AwayExports()


@pytest.fixture
async def world(exports: AwayExports) -> World:
    world = World(exports=exports)
    await world.register()
    world.views.move(2)
    return world


def requested(position: int, *, names: bool = True) -> RequestedExport:
    return RequestedExport(
        id=uuid7(), actor="token:x", request="sealed", names=names, position=position
    )


async def test_an_erasure_waits_for_an_earlier_request(world: World, exports: AwayExports) -> None:
    export = requested(1)
    await exports.record(export)
    job = job_of(await world.erase())
    async with world.sweeping():
        await world.wait_for_job(
            job.id, lambda job: "Not reached yet: exports." in (job.error or "")
        )
        await exports.begin(export.id, 1)
        await exports.end(export.id, 1, SelectedExport(1, 1))
        done = await world.wait_for_job(job.id, lambda job: job.state == "succeeded")
    assert done.result is not None
    assert done.result["covers"] == [*BY_THE_APPEND, *SERVING, "exports"]


async def test_an_erasure_does_not_wait_for_a_later_request(
    world: World, exports: AwayExports
) -> None:
    await exports.record(requested(2))
    assert receipt_of(await world.erase()).covers[-1] == "exports"


async def test_an_erasure_does_not_wait_for_requests_that_name_nobody(
    world: World, exports: AwayExports
) -> None:
    for _ in range(20):
        await exports.record(requested(1, names=False))
    assert receipt_of(await world.erase()).covers[-1] == "exports"


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        (ExportSpec(format="csv", users=UserList()), False),
        (ExportSpec(format="csv", users=UserList(roles=("owner",), ids=(uuid7(),))), False),
        (ExportSpec(format="csv", users=UserList(words="zoe")), True),
        (ExportSpec(format="csv", users=UserList(emails=("zoe@example.org",))), True),
        (ExportSpec(format="csv", users=UserList(external_ids=("7",))), True),
        (ExportSpec(format="csv", audit=AuditQuery(user=uuid7(), types=("user.erased",))), False),
        (ExportSpec(format="csv", audit=AuditQuery(actors=("local:zoe",))), True),
        (ExportSpec(format="csv", audit=AuditQuery(on_behalf_of=("zoe",))), True),
        (ExportSpec(format="csv", audit=AuditQuery(correlation_ids=("zoe",))), True),
    ],
)
def test_a_request_names_a_person_if_one_of_its_filters_may(spec: ExportSpec, names: bool) -> None:
    assert spec.may_name_a_person == names


async def test_an_erasure_waits_for_a_store_that_is_unavailable(
    world: World, exports: AwayExports
) -> None:
    exports.is_unavailable = True
    job = job_of(await world.erase())
    exports.is_unavailable = False
    async with world.sweeping():
        done = await world.wait_for_job(job.id, lambda job: job.state == "succeeded")
    assert done.result is not None
