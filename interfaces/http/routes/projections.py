"""Operations on projections: rebuild, roll back, verify, retry and skip, pause and resume."""

from typing import Any, Final
from uuid import UUID

import msgspec
from fastapi import Request, Response

from application.projector.parked import AnotherEventFirst, NothingParked
from application.projector.rebuild_jobs import REBUILD, ROLLBACK
from application.verification.jobs import VERIFY
from domain.errors import InvalidValue
from interfaces.http.endpoint.admin_command import AdminCommand, Nothing, admin_command
from interfaces.http.endpoint.operation import Operation
from interfaces.http.endpoint.query import QueryCall, query
from interfaces.http.endpoint.services import Services
from interfaces.http.protocol.body import JSON
from interfaces.http.protocol.consistency import POSITION
from interfaces.http.protocol.fields import parse_uuid
from interfaces.http.protocol.negotiation import compressible
from interfaces.http.protocol.refusals import (
    FieldError,
    InvalidRequest,
    NoPreviousGeneration,
    NotFound,
)
from interfaces.http.schemas.jobs import Job
from interfaces.http.schemas.projections import (
    Parked,
    ParkedList,
    ParkedListParameters,
    PauseBody,
    ProjectionOrdered,
    RetriedStream,
    SkipBody,
    VerifyBody,
    cursor_to,
)

_TAG: Final = "Projections"
_PATH: Final = "/v1/projections/{name}"


@admin_command(
    f"{_PATH}/rebuild",
    Nothing,
    tag=_TAG,
    summary="Rebuild a projection beside the current generation, then switch to it",
    answers=Job,
    status=202,
)
async def rebuild_projection(command: AdminCommand[Nothing]) -> Response:
    return await _as_job(command, REBUILD, {"projection": _name(command.services, command.request)})


@admin_command(
    f"{_PATH}/rollback",
    Nothing,
    tag=_TAG,
    summary="Switch back to the previous generation",
    answers=Job,
    status=202,
)
async def roll_back_projection(command: AdminCommand[Nothing]) -> Response:
    name = _name(command.services, command.request)
    generations = command.services.projections.previous_generations
    current, previous = await generations.serving(name), await generations.previous(name)
    if previous is None:
        raise NoPreviousGeneration
    return await _as_job(command, ROLLBACK, {"projection": name, "from": current, "to": previous})


@admin_command(
    f"{_PATH}/verify",
    VerifyBody,
    tag=_TAG,
    summary="Compare a projection with a fresh fold of the log, and repair what differs if asked",
    answers=Job,
    status=202,
)
async def verify_projection(command: AdminCommand[VerifyBody]) -> Response:
    name, repairing = _name(command.services, command.request), command.body.repair
    arguments = {"projection": name, "repair": repairing}
    # A repair has its own job: one that only compares does not repair.
    return await _as_job(command, VERIFY, arguments, once=f"{name} repair" if repairing else name)


@query(
    f"{_PATH}/parked",
    ParkedListParameters,
    needs="admin",
    tag=_TAG,
    summary="List the parked streams, and why",
    answers=ParkedList,
    problems=("not-found",),
)
async def list_parked(call: QueryCall[ParkedListParameters]) -> Response:
    services, asked = call.services, call.parameters
    name = _name(services, call.request)
    position = await call.log_position()
    after = asked.after(services.cursors, name)
    found = await services.projections.parked(name, after, asked.limit)
    page = ParkedList(
        items=[Parked.of(each) for each in found.items],
        next_cursor=cursor_to(services.cursors, name, found.next),
        position=position,
    )
    headers = {POSITION: str(position)}
    return await compressible(call.request, msgspec.json.encode(page), headers, JSON)


@admin_command(
    f"{_PATH}/parked/{{stream}}/retry",
    Nothing,
    tag=_TAG,
    summary="Retry a parked stream, from the event that is parked",
    answers=RetriedStream,
)
async def retry_parked(command: AdminCommand[Nothing]) -> Response:
    name, stream = _name(command.services, command.request), _stream(command.request)
    try:
        result = await command.services.projections.retry(name, stream)
    except NothingParked:
        raise NotFound from None
    return await _answer(command, RetriedStream.of(stream, result))


@admin_command(
    f"{_PATH}/parked/{{stream}}/skip",
    SkipBody,
    tag=_TAG,
    summary="Skip the parked event of a stream for good, and continue after it",
    answers=RetriedStream,
    body_required=True,
)
async def skip_parked(command: AdminCommand[SkipBody]) -> Response:
    name, stream = _name(command.services, command.request), _stream(command.request)
    asked, actor = command.body, command.principal.actor
    try:
        result = await command.services.projections.skip(
            name, stream, asked.version, asked.reason, actor
        )
    except NothingParked:
        raise NotFound from None
    except AnotherEventFirst as error:
        detail = f"The stream stands at version {error.version}."
        raise InvalidRequest([FieldError("#/version", detail)]) from None
    return await _answer(command, RetriedStream.of(stream, result))


@admin_command(
    f"{_PATH}/pause",
    PauseBody,
    tag=_TAG,
    summary="Pause a projection",
    answers=ProjectionOrdered,
)
async def pause_projection(command: AdminCommand[PauseBody]) -> Response:
    name = _name(command.services, command.request)
    await command.services.projections.pause(name, command.body.reason, command.principal.actor)
    return await _answer(command, ProjectionOrdered(name=name, paused=True))


@admin_command(
    f"{_PATH}/resume",
    Nothing,
    tag=_TAG,
    summary="Resume a projection",
    answers=ProjectionOrdered,
)
async def resume_projection(command: AdminCommand[Nothing]) -> Response:
    name = _name(command.services, command.request)
    await command.services.projections.resume(name)
    return await _answer(command, ProjectionOrdered(name=name, paused=False))


PROJECTIONS: Final[tuple[Operation, ...]] = (
    rebuild_projection,
    roll_back_projection,
    verify_projection,
    list_parked,
    retry_parked,
    skip_parked,
    pause_projection,
    resume_projection,
)


async def _as_job(
    command: AdminCommand[Any], kind: str, arguments: dict[str, Any], *, once: str | None = None
) -> Response:
    """One job at a time per projection: a caller that asks again gets the unfinished one."""
    job = await command.services.jobs.submit(
        kind, arguments, actor=command.principal.actor, once=once or arguments["projection"]
    )
    headers = {
        POSITION: str(await command.services.feed.head()),
        "Location": f"/v1/jobs/{job.id}",
    }
    return Response(msgspec.json.encode(Job.of(job)), 202, headers, JSON)


async def _answer(command: AdminCommand[Any], body: msgspec.Struct) -> Response:
    headers = {POSITION: str(await command.services.feed.head())}
    return Response(msgspec.json.encode(body), headers=headers, media_type=JSON)


def _name(services: Services, request: Request) -> str:
    name: str = request.path_params["name"]
    if name not in services.projections.names:
        raise NotFound
    return name


def _stream(request: Request) -> UUID:
    try:
        return parse_uuid(request.path_params["stream"])
    except InvalidValue:
        raise NotFound from None
