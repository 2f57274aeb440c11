"""Operations on projections: rebuild, roll back, verify, pause, resume and drop."""

from typing import Final

from fastapi import Response

from application.projector.rebuild_jobs import REBUILD, ROLLBACK, VERIFY
from application.projector.unused import StillProjected
from interfaces.http.endpoint.answers import resource_list
from interfaces.http.endpoint.call import Command, Nothing, Query
from interfaces.http.endpoint.operation import operation
from interfaces.http.protocol.consistency import POSITION
from interfaces.http.protocol.refusals import (
    InvalidRequest,
    NoPreviousGeneration,
    NotFound,
)
from interfaces.http.protocol.validation import NoParameters
from interfaces.http.routes.projection_calls import answered, as_job, name_of
from interfaces.http.schemas.jobs import Job
from interfaces.http.schemas.projections import (
    PauseBody,
    ProjectionOrdered,
    RollbackBody,
    StoredView,
    StoredViewList,
    VerifyBody,
)

_TAG: Final = "Projections"
_PATH: Final = "/v1/projections/{name}"


@operation(
    "POST",
    f"{_PATH}/rebuild",
    tag=_TAG,
    summary="Rebuild a projection beside the current generation, then switch to it",
    answers=Job,
    status=202,
)
async def rebuild_projection(call: Command[Nothing]) -> Response:
    return await as_job(call, REBUILD, {"projection": name_of(call)})


@operation(
    "POST",
    f"{_PATH}/rollback",
    tag=_TAG,
    summary="Switch back to the previous generation",
    answers=Job,
    status=202,
    body_required=True,
)
async def roll_back_projection(call: Command[RollbackBody]) -> Response:
    """`to` is the former generation that is kept; of the serving one, nothing is to do."""
    name, to = name_of(call), call.body.to
    generations = call.services.projections.previous_generations
    current, previous = await generations.serving(name), await generations.previous(name)
    if to != current:
        if previous is None:
            raise NoPreviousGeneration
        if to != previous:
            detail = f"Must be {previous}, the former generation that is kept; {current} serves."
            raise InvalidRequest.at("#/to", detail)
    arguments = {"projection": name, "from": current, "to": to}
    return await as_job(call, ROLLBACK, arguments, once=f"{name} to {to}")


@operation(
    "POST",
    f"{_PATH}/verify",
    tag=_TAG,
    summary="Compare a projection with a new build of it; if asked, switch to that if they differ",
    answers=Job,
    status=202,
)
async def verify_projection(call: Command[VerifyBody]) -> Response:
    name, repairing = name_of(call), call.body.repair
    arguments = {"projection": name, "repair": repairing}
    # A repair has its own job: one that only compares does not repair.
    return await as_job(call, VERIFY, arguments, once=f"{name} repair" if repairing else name)


@operation(
    "GET",
    f"{_PATH}/views/{{stream}}",
    tag=_TAG,
    summary="Show the view of one stream in each generation",
    answers=StoredViewList,
)
async def read_stored_views(call: Query[NoParameters]) -> Response:
    """Of each generation that is kept up to date, the newest first."""
    name, stream = name_of(call), call.id_in_path("stream")
    position = await call.log_position()
    found = await call.services.stored_views.views(name, stream)
    if not any(each.version for each in found):
        raise NotFound("The projection has no view of such a stream.")
    items = [StoredView.of(each) for each in found]
    page = StoredViewList(items=items, next_cursor=None, position=position)
    return await resource_list(call, page, position)


@operation(
    "POST",
    f"{_PATH}/pause",
    tag=_TAG,
    summary="Pause a projection",
    answers=ProjectionOrdered,
)
async def pause_projection(call: Command[PauseBody]) -> Response:
    name = name_of(call)
    await call.services.projections.pause(name, call.body.reason, call.principal.actor)
    return await answered(call, ProjectionOrdered(name=name, paused=True))


@operation(
    "POST",
    f"{_PATH}/resume",
    tag=_TAG,
    summary="Resume a projection",
    answers=ProjectionOrdered,
)
async def resume_projection(call: Command[Nothing]) -> Response:
    name = name_of(call)
    await call.services.projections.resume(name)
    return await answered(call, ProjectionOrdered(name=name, paused=False))


@operation(
    "DELETE",
    _PATH,
    tag=_TAG,
    summary="Drop a projection that no release has any more",
    answers=None,
    status=204,
)
async def drop_projection(call: Command[Nothing]) -> Response:
    """Erasures wait for all that is stored, so they wait for such a projection until it is dropped."""
    unused, name = call.services.unused_projections, call.request.path_params["name"]
    if name in unused.known:
        raise InvalidRequest.at("name", "This release has the projection.")
    try:
        is_dropped = await unused.drop(name, call.principal.actor)
    except StillProjected as error:
        raise InvalidRequest.at("name", str(error)) from None
    if not is_dropped and not call.may_be_done:
        raise NotFound("Nothing is stored of a projection with this name.")
    return Response(status_code=204, headers={POSITION: str(await call.log_position())})
