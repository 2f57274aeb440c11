"""Parked streams of a projection: list them, retry one or all, skip an event, take a skip back."""

from typing import Final

from fastapi import Response

from application.projector.parked import AnotherEventFirst, NothingParked, NotSkipped, RetryResult
from application.projector.retry_jobs import RETRY_PARKED
from interfaces.http.endpoint.answers import resource_list
from interfaces.http.endpoint.call import Command, Nothing, Query
from interfaces.http.endpoint.operation import operation
from interfaces.http.protocol.cursors import PageParameters, Pages
from interfaces.http.protocol.refusals import InvalidRequest, NotFound
from interfaces.http.routes.projection_calls import answered, as_job, name_of
from interfaces.http.schemas.jobs import Job
from interfaces.http.schemas.projections import (
    Parked,
    ParkedList,
    RetriedStream,
    SkipBody,
    UnskipBody,
)

_TAG: Final = "Projections"
_PATH: Final = "/v1/projections/{name}/parked"


@operation(
    "GET",
    _PATH,
    tag=_TAG,
    summary="List the parked streams, and why",
    answers=ParkedList,
)
async def list_parked(call: Query[PageParameters]) -> Response:
    services, asked = call.services, call.parameters
    name = name_of(call)
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
    f"{_PATH}/retry",
    tag=_TAG,
    summary="Retry all parked streams, each once",
    answers=Job,
    status=202,
)
async def retry_all_parked(call: Command[Nothing]) -> Response:
    return await as_job(call, RETRY_PARKED, {"projection": name_of(call)})


@operation(
    "POST",
    f"{_PATH}/{{stream}}/retry",
    tag=_TAG,
    summary="Retry a parked stream, from the event that is parked",
    answers=RetriedStream,
)
async def retry_parked(call: Command[Nothing]) -> Response:
    name, stream = name_of(call), call.id_in_path("stream")
    try:
        result = await call.services.projections.retry(name, stream)
    except NothingParked:
        if not call.may_be_done:
            raise NotFound("This stream is not parked.") from None
        result = RetryResult(applied=0, parked=None)
    return await answered(call, RetriedStream.of(stream, result))


@operation(
    "POST",
    f"{_PATH}/{{stream}}/skip",
    tag=_TAG,
    summary="Skip the parked event of a stream for good, and continue after it",
    answers=RetriedStream,
    body_required=True,
)
async def skip_parked(call: Command[SkipBody]) -> Response:
    name, stream = name_of(call), call.id_in_path("stream")
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
    return await answered(call, RetriedStream.of(stream, result))


@operation(
    "POST",
    f"{_PATH}/{{stream}}/unskip",
    tag=_TAG,
    summary="Skip an event no more: the stream is folded again from its first event",
    answers=RetriedStream,
    body_required=True,
)
async def unskip_parked(call: Command[UnskipBody]) -> Response:
    name, stream = name_of(call), call.id_in_path("stream")
    actor = call.principal.actor
    try:
        result = await call.services.projections.unskip(name, stream, call.body.version, actor)
    except NotSkipped:
        raise NotFound("This event was never skipped.") from None
    return await answered(call, RetriedStream.of(stream, result))
