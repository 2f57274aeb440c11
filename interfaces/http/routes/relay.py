"""The relay: how far it is, and the events that RabbitMQ refused."""

from typing import Final

from fastapi import Response

from application.jobs.relay_replay import RELAY_REPLAY
from interfaces.http.endpoint.answers import resource, resource_list
from interfaces.http.endpoint.call import Command, Nothing, Query
from interfaces.http.endpoint.operation import operation
from interfaces.http.protocol.cursors import PageParameters, Pages
from interfaces.http.protocol.validation import NoParameters
from interfaces.http.routes.jobs import accepted
from interfaces.http.schemas.jobs import Job
from interfaces.http.schemas.relay import Rejected, RejectedList, RelayStatus

_TAG: Final = "Relay"
_REJECTED: Final = "/v1/relay/rejected"


@operation(
    "GET",
    "/v1/relay",
    tag=_TAG,
    summary="See how far the relay is",
    answers=RelayStatus,
)
async def read_relay(call: Query[NoParameters]) -> Response:
    position = await call.log_position()
    return resource(RelayStatus.of(await call.services.relay.status()), position)


@operation(
    "GET",
    _REJECTED,
    tag=_TAG,
    summary="List the events that the relay could not publish, and why",
    answers=RejectedList,
)
async def list_rejected(call: Query[PageParameters]) -> Response:
    services, asked = call.services, call.parameters
    position = await call.log_position()
    pages = Pages(services.cursors, ("relay rejected",), int)
    found = await services.relay.rejected(pages.place(asked.cursor) or 0, asked.limit + 1)
    items = found[: asked.limit]
    page = RejectedList(
        items=[Rejected.of(each) for each in items],
        next_cursor=pages.cursor(items[-1].position if len(found) > asked.limit else None),
        position=position,
    )
    return await resource_list(call, page, position)


@operation(
    "POST",
    f"{_REJECTED}/replay",
    tag=_TAG,
    summary="Publish the events that were set aside again",
    answers=Job,
    status=202,
)
async def replay_rejected(call: Command[Nothing]) -> Response:
    """A caller that asks while such a job is unfinished gets that one."""
    job = await call.services.jobs.submit(
        RELAY_REPLAY, {}, actor=call.principal.actor, once=RELAY_REPLAY, job_id=call.job_id
    )
    return accepted(job, await call.log_position())
