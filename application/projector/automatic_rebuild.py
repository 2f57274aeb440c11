"""Submits the rebuild of each projection that an older release built, when a worker starts."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

from msgspec import Struct
from structlog import get_logger

from application.jobs.model import Jobs
from application.projector.rebuild_jobs import REBUILD
from application.retry import BackOff, raise_if_cancelled
from projections.projection import Projection

ACTOR: Final = "system:upgrade"

log = get_logger(__name__)


class Outdated(Struct, frozen=True):
    """The serving generation lacks something that this release has.

    `columns`: the columns that it lacks; none if its revision is older, or an index is missing.
    """

    generation: int
    columns: tuple[str, ...]


class ServingShapes(Protocol):
    """How the serving generations differ from this release."""

    async def outdated(self, projection: Projection[Any]) -> Outdated | None:
        """What a rebuild by this release would add, None if nothing. Raises `Unavailable`."""
        ...


class ViewsOutdated(Exception):
    """The serving generations of some projections lack what this release has."""

    def __init__(self, projections: Sequence[str]) -> None:
        named = ", ".join(projections)
        super().__init__(
            f"An older release built the serving generation of {named}: new columns are empty "
            "until a rebuild has switched. A worker submits it when it starts."
        )


async def check_views(projections: Iterable[Projection[Any]], shapes: ServingShapes) -> None:
    """Raises `ViewsOutdated`, and `Unavailable` if the views cannot be read."""
    outdated = [each.name for each in projections if await shapes.outdated(each) is not None]
    if outdated:
        raise ViewsOutdated(outdated)


async def rebuild_outdated(
    projections: Iterable[Projection[Any]], shapes: ServingShapes, jobs: Jobs
) -> None:
    """Submit the rebuilds, each once for any number of workers; retries while servers are away.

    Only at a start: a rebuild that fails, or that an operator rolls back, is not submitted again
    and again.
    """
    back_off = BackOff("automatic rebuild")
    for projection in projections:
        while True:
            raise_if_cancelled()
            try:
                await _submit_if_outdated(projection, shapes, jobs)
            except Exception as error:
                await back_off.wait(error)
                continue
            back_off.reset()
            break


async def _submit_if_outdated(
    projection: Projection[Any], shapes: ServingShapes, jobs: Jobs
) -> None:
    outdated = await shapes.outdated(projection)
    if outdated is None:
        return
    arguments = {
        "projection": projection.name,
        "revision": projection.revision,
        "columns": sorted(outdated.columns),
    }
    once = f"{projection.name} {projection.revision} {','.join(sorted(outdated.columns))}"
    job = await jobs.submit(REBUILD, arguments, actor=ACTOR, once=once)
    log.info(
        "rebuild_submitted",
        projection=projection.name,
        generation=outdated.generation,
        columns=sorted(outdated.columns),
        job=str(job.id),
    )
