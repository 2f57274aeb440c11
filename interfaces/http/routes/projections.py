"""Operations on projections: rebuild, roll back, verify, retry and skip, pause and resume."""

from typing import Any, Final

from fastapi import Response
from msgspec import Struct

from application.projector.parked import AnotherEventFirst, NothingParked, NotSkipped
from application.projector.rebuild_jobs import REBUILD, ROLLBACK, VERIFY
from application.projector.unused import StillProjected
from interfaces.http.endpoint.answers import resource, resource_list
from interfaces.http.endpoint.call import Call, Command, Nothing, Query
from interfaces.http.endpoint.operation import operation
from interfaces.http.protocol.consistency import POSITION
from interfaces.http.protocol.cursors import PageParameters, Pages
from interfaces.http.protocol.refusals import (
    InvalidRequest,
    NoPreviousGeneration,
    NotFound,
)
from interfaces.http.routes.jobs import accepted
from interfaces.http.schemas.jobs import Job
from interfaces.http.schemas.projections import (
    Parked,
    ParkedList,
    PauseBody,
    ProjectionOrdered,
    RetriedStream,
    SkipBody,
    UnskipBody,
    VerifyBody,
)

_TAG: Final = "Projections"
_PATH: Final = "/v1/projections/{name}"


@operation(
    "POST",
    f"{_PATH}/rebuild",
    tag=_TAG,
    summary="Rebuild a projection beside the current generation, then switch to it",
    needs="admin",
    answers=Job,
    status=202,
)
async def rebuild_projection(call: Command[Nothing]) -> Response:
    return await _as_job(call, REBUILD, {"projection": _name(call)})


@operation(
    "POST",
    f"{_PATH}/rollback",
    tag=_TAG,
    summary="Switch back to the previous generation",
    needs="admin",
    answers=Job,
    status=202,
)
async def roll_back_projection(call: Command[Nothing]) -> Response:
    name = _name(call)
    generations = call.services.projections.previous_generations
    current, previous = await generations.serving(name), await generations.previous(name)
    if previous is None:
        raise NoPreviousGeneration
    return await _as_job(call, ROLLBACK, {"projection": name, "from": current, "to": previous})


@operation(
    "POST",
    f"{_PATH}/verify",
    tag=_TAG,
    summary="Compare a projection with a new build of it; if asked, switch to that if they differ",
    needs="admin",
    answers=Job,
    status=202,
)
async def verify_projection(call: Command[VerifyBody]) -> Response:
    name, repairing = _name(call), call.body.repair
    arguments = {"projection": name, "repair": repairing}
    # A repair has its own job: one that only compares does not repair.
    return await _as_job(call, VERIFY, arguments, once=f"{name} repair" if repairing else name)


@operation(
    "GET",
    f"{_PATH}/parked",
    tag=_TAG,
    summary="List the parked streams, and why",
    needs="admin",
    answers=ParkedList,
)
async def list_parked(call: Query[PageParameters]) -> Response:
    services, asked = call.services, call.parameters
    name = _name(call)
    position = await call.log_position()
    pages = Pages(services.cursors, ("parked", name), int)
    found = await services.projections.parked(name, pages.place(asked.cursor) or 0, asked.limit)
    page = ParkedList(
        items=[Parked.of(each) for each in found.items],
        next_cursor=pages.cursor(found.next),
        position=position,
    )
    return await resource_list(call, page, position)


@operation(
    "POST",
    f"{_PATH}/parked/{{stream}}/retry",
    tag=_TAG,
    summary="Retry a parked stream, from the event that is parked",
    needs="admin",
    answers=RetriedStream,
)
async def retry_parked(call: Command[Nothing]) -> Response:
    name, stream = _name(call), call.id_in_path("stream")
    try:
        result = await call.services.projections.retry(name, stream)
    except NothingParked:
        raise NotFound("This stream is not parked.") from None
    return await _answer(call, RetriedStream.of(stream, result))


@operation(
    "POST",
    f"{_PATH}/parked/{{stream}}/skip",
    tag=_TAG,
    summary="Skip the parked event of a stream for good, and continue after it",
    needs="admin",
    answers=RetriedStream,
    body_required=True,
)
async def skip_parked(call: Command[SkipBody]) -> Response:
    name, stream = _name(call), call.id_in_path("stream")
    asked, actor = call.body, call.principal.actor
    try:
        result = await call.services.projections.skip(
            name, stream, asked.version, asked.reason, actor
        )
    except NothingParked:
        raise NotFound("This stream is not parked.") from None
    except AnotherEventFirst as error:
        detail = f"The first parked event is version {error.version}."
        raise InvalidRequest.at("#/version", detail) from None
    return await _answer(call, RetriedStream.of(stream, result))


@operation(
    "POST",
    f"{_PATH}/parked/{{stream}}/unskip",
    tag=_TAG,
    summary="Skip an event no more: the stream is folded again from its first event",
    needs="admin",
    answers=RetriedStream,
    body_required=True,
)
async def unskip_parked(call: Command[UnskipBody]) -> Response:
    name, stream = _name(call), call.id_in_path("stream")
    actor = call.principal.actor
    try:
        result = await call.services.projections.unskip(name, stream, call.body.version, actor)
    except NotSkipped:
        raise NotFound("This event was never skipped.") from None
    return await _answer(call, RetriedStream.of(stream, result))


@operation(
    "POST",
    f"{_PATH}/pause",
    tag=_TAG,
    summary="Pause a projection",
    needs="admin",
    answers=ProjectionOrdered,
)
async def pause_projection(call: Command[PauseBody]) -> Response:
    name = _name(call)
    await call.services.projections.pause(name, call.body.reason, call.principal.actor)
    return await _answer(call, ProjectionOrdered(name=name, paused=True))


@operation(
    "POST",
    f"{_PATH}/resume",
    tag=_TAG,
    summary="Resume a projection",
    needs="admin",
    answers=ProjectionOrdered,
)
async def resume_projection(call: Command[Nothing]) -> Response:
    name = _name(call)
    await call.services.projections.resume(name)
    return await _answer(call, ProjectionOrdered(name=name, paused=False))


@operation(
    "DELETE",
    _PATH,
    tag=_TAG,
    summary="Drop a projection that no release has any more",
    needs="admin",
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
    if not is_dropped:
        raise NotFound
    return Response(status_code=204, headers={POSITION: str(await call.log_position())})


async def _as_job(
    call: Command[Any], kind: str, arguments: dict[str, Any], *, once: str | None = None
) -> Response:
    """One job at a time per projection: a caller that asks again gets the unfinished one."""
    job = await call.services.jobs.submit(
        kind, arguments, actor=call.principal.actor, once=once or arguments["projection"]
    )
    return accepted(job, await call.log_position())


async def _answer(call: Command[Any], body: Struct) -> Response:
    return resource(body, await call.log_position())


def _name(call: Call[Any, Any]) -> str:
    name: str = call.request.path_params["name"]
    if name not in call.services.projections.names:
        raise NotFound
    return name
