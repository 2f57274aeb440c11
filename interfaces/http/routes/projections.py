"""Caring for projections: rebuild one, go back, see and mend what is parked, stop it for a while."""

from typing import Any, Final
from uuid import UUID

import msgspec
from fastapi import Request, Response

from application.projector.parked import AnotherEventFirst, NothingParked
from application.projector.rebuild_jobs import REBUILD, ROLLBACK
from application.verification.jobs import VERIFY
from domain.errors import InvalidValue
from interfaces.http.endpoint.admin_command import Nothing, Order, order
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
    NoFormerGeneration,
    NotFound,
)
from interfaces.http.schemas.jobs import Job
from interfaces.http.schemas.projections import (
    MendedStream,
    Parked,
    ParkedList,
    ParkedListParameters,
    PauseBody,
    ProjectionOrdered,
    SkipBody,
    VerifyBody,
    cursor_to,
)

_TAG: Final = "Projections"
_PATH: Final = "/v1/projections/{name}"


@order(
    f"{_PATH}/rebuild",
    Nothing,
    tag=_TAG,
    summary="Build a projection anew beside itself, and let it take its place",
    answers=Job,
    status=202,
)
async def rebuild_projection(order: Order[Nothing]) -> Response:
    return await _as_job(order, REBUILD, {"projection": _name(order.services, order.request)})


@order(
    f"{_PATH}/rollback",
    Nothing,
    tag=_TAG,
    summary="Let the generation serve again that served before",
    answers=Job,
    status=202,
)
async def roll_back_projection(order: Order[Nothing]) -> Response:
    name = _name(order.services, order.request)
    former = order.services.projections.former
    left, entered = await former.serving(name), await former.former(name)
    if entered is None:
        raise NoFormerGeneration
    return await _as_job(order, ROLLBACK, {"projection": name, "from": left, "to": entered})


@order(
    f"{_PATH}/verify",
    VerifyBody,
    tag=_TAG,
    summary="Compare a projection with a fresh fold of the log, and repair what differs if asked",
    answers=Job,
    status=202,
)
async def verify_projection(order: Order[VerifyBody]) -> Response:
    name, repairing = _name(order.services, order.request), order.body.repair
    arguments = {"projection": name, "repair": repairing}
    # One that only compares is no answer to who asks for a repair.
    return await _as_job(order, VERIFY, arguments, once=f"{name} repair" if repairing else name)


@query(
    f"{_PATH}/parked",
    ParkedListParameters,
    needs="admin",
    tag=_TAG,
    summary="List the streams that stand still, and why",
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


@order(
    f"{_PATH}/parked/{{stream}}/retry",
    Nothing,
    tag=_TAG,
    summary="Try a parked stream again, from the event it stands at",
    answers=MendedStream,
)
async def retry_parked(order: Order[Nothing]) -> Response:
    name, stream = _name(order.services, order.request), _stream(order.request)
    try:
        mended = await order.services.projections.retry(name, stream)
    except NothingParked:
        raise NotFound from None
    return await _answer(order, MendedStream.of(stream, mended))


@order(
    f"{_PATH}/parked/{{stream}}/skip",
    SkipBody,
    tag=_TAG,
    summary="Leave the event out for good that a stream stands at, and go on after it",
    answers=MendedStream,
    body_required=True,
)
async def skip_parked(order: Order[SkipBody]) -> Response:
    name, stream = _name(order.services, order.request), _stream(order.request)
    asked, actor = order.body, order.principal.actor
    try:
        mended = await order.services.projections.skip(
            name, stream, asked.version, asked.reason, actor
        )
    except NothingParked:
        raise NotFound from None
    except AnotherEventFirst as error:
        detail = f"The stream stands at version {error.version}."
        raise InvalidRequest([FieldError("#/version", detail)]) from None
    return await _answer(order, MendedStream.of(stream, mended))


@order(
    f"{_PATH}/pause",
    PauseBody,
    tag=_TAG,
    summary="Have a projection stand still",
    answers=ProjectionOrdered,
)
async def pause_projection(order: Order[PauseBody]) -> Response:
    name = _name(order.services, order.request)
    await order.services.projections.pause(name, order.body.reason, order.principal.actor)
    return await _answer(order, ProjectionOrdered(name=name, paused=True))


@order(
    f"{_PATH}/resume",
    Nothing,
    tag=_TAG,
    summary="Have a projection go on",
    answers=ProjectionOrdered,
)
async def resume_projection(order: Order[Nothing]) -> Response:
    name = _name(order.services, order.request)
    await order.services.projections.resume(name)
    return await _answer(order, ProjectionOrdered(name=name, paused=False))


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
    order: Order[Any], kind: str, arguments: dict[str, Any], *, once: str | None = None
) -> Response:
    """One at a time for each projection: whoever asks for one that is under way gets that."""
    job = await order.services.jobs.submit(
        kind, arguments, actor=order.principal.actor, once=once or arguments["projection"]
    )
    headers = {
        POSITION: str(await order.services.feed.head()),
        "Location": f"/v1/jobs/{job.id}",
    }
    return Response(msgspec.json.encode(Job.of(job)), 202, headers, JSON)


async def _answer(order: Order[Any], body: msgspec.Struct) -> Response:
    headers = {POSITION: str(await order.services.feed.head())}
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
