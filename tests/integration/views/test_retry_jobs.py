"""The job that retries all parked streams, and rebuilds while very many are parked."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from application.errors import Unavailable
from application.jobs.model import JobFailed, JobKind, JobRun
from application.projector.generations import MAX_PARKED
from application.projector.rebuild_jobs import rebuild_jobs
from application.projector.retry_jobs import retry_jobs
from infrastructure.doorbell.memory import MemoryDoorbell
from projections.registry import PROJECTIONS
from tests.integration.views.test_generations import registered, renamed
from tests.support.doubles.notifications import InMemoryNotifications
from tests.support.views.directory import execute
from tests.support.views.rebuilding import Rebuilder
from tests.support.views.registrations import NEWCOMERS, refused_names


@pytest.fixture
async def rebuilder(database_url: str) -> AsyncGenerator[Rebuilder]:
    async with Rebuilder.open(database_url, [*PROJECTIONS, NEWCOMERS]) as rebuilder:
        async with rebuilder.projecting():
            yield rebuilder
    refused_names.clear()
    refused_names.add("bad")


def kind_of(rebuilder: Rebuilder) -> JobKind:
    ports = rebuilder.ports
    return retry_jobs(rebuilder.projections.values(), ports.parked_streams, ports.events_by_stream)


def run_of(name: str) -> JobRun:
    return JobRun(uuid7(), {"projection": name}, "test", 1)


async def parked(rebuilder: Rebuilder, name: str) -> UUID:
    stream = await rebuilder.read_side.record(registered("ok"))
    await renamed(rebuilder, stream, name)
    await renamed(rebuilder, stream, "fine", after=2)
    return stream


async def test_each_parked_stream_is_retried_once_in_every_generation(
    rebuilder: Rebuilder,
) -> None:
    refused_names.add("soon")
    freed = [await parked(rebuilder, "soon good") for _ in range(5)]
    still = [await parked(rebuilder, "bad") for _ in range(3)]
    await rebuilder.caught_up("newcomers")
    await rebuilder.rebuild("newcomers")
    refused_names.discard("soon")
    run = run_of("newcomers")
    result = await kind_of(rebuilder).run(run)
    assert result == {"projection": "newcomers", "retried": 5, "parked": 3, "applied": 10}
    assert (run.pace.progress.done, run.pace.progress.total) == (16, 16)
    left = "SELECT generation, stream FROM parked WHERE projection = 'newcomers' ORDER BY 1, 2"
    assert await execute(rebuilder.url, left) == [
        (generation, stream) for generation in (1, 2) for stream in sorted(still)
    ]
    assert not {stream for _, stream in await execute(rebuilder.url, left)} & set(freed)
    assert await rebuilder.differences() == []
    again = await kind_of(rebuilder).run(run_of("newcomers"))
    assert again == {"projection": "newcomers", "retried": 0, "parked": 3, "applied": 0}


async def test_a_projection_that_the_release_does_not_have_is_not_retried(
    rebuilder: Rebuilder,
) -> None:
    with pytest.raises(JobFailed):
        await kind_of(rebuilder).run(run_of("gone"))


async def test_an_outage_ends_the_run_so_that_it_is_run_again(
    rebuilder: Rebuilder, monkeypatch: pytest.MonkeyPatch
) -> None:
    await parked(rebuilder, "bad")
    await rebuilder.caught_up("newcomers")

    def away(*_: Any) -> Any:
        raise Unavailable

    monkeypatch.setattr(type(rebuilder.ports.parked_streams), "lock", away)
    with pytest.raises(Unavailable):
        await kind_of(rebuilder).run(run_of("newcomers"))


@pytest.mark.long
async def test_a_build_with_too_many_parked_streams_ends_and_says_so(rebuilder: Rebuilder) -> None:
    """However many are parked in the serving generation: only the new one counts."""
    streams = [await rebuilder.read_side.record(registered("bad")) for _ in range(MAX_PARKED + 1)]
    await rebuilder.caught_up("newcomers")
    ports, projections = rebuilder.ports, rebuilder.projections.values()
    people = InMemoryNotifications(MemoryDoorbell(), uuid7, lambda: datetime.now(UTC))
    rebuild, _ = rebuild_jobs(projections, ports, people)
    with pytest.raises(JobFailed) as refusal:
        await rebuild.run(run_of("newcomers"))
    assert "all events of more than 1,000 streams (" in str(refusal.value)
    assert await rebuilder.generations("newcomers") == [(1, "following")]
    refused_names.clear()
    rebuilt = await rebuilder.rebuild("newcomers")
    assert (rebuilt["switched"], rebuilt["compared"]["differing"]) == (True, len(streams))
    left = "SELECT count(*) FROM parked WHERE projection = 'newcomers' AND generation = 2"
    assert await execute(rebuilder.url, left) == [(0,)]
