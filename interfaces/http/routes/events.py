"""The events: pages after a position, with optional long polling, and one event by id."""

import asyncio
from collections.abc import Iterable
from typing import Annotated, Any, Final

from fastapi import Response
from pydantic import Field

from application.log.envelope import Envelope, envelope
from application.log.search import EventFilter, parse_type
from domain.event import Event, Recorded
from interfaces.http.endpoint.answers import resource, resource_list
from interfaces.http.endpoint.call import Query
from interfaces.http.endpoint.operation import operation
from interfaces.http.protocol.fields import UuidField, comma_list, whole_number
from interfaces.http.protocol.json_schemas import EVENT_TYPE
from interfaces.http.protocol.refusals import InvalidRequest, InvalidToken, NotFound
from interfaces.http.protocol.validation import NoParameters, RequestModel
from interfaces.http.schemas.lists import EventList

_MAX_EVENTS: Final = 1000
_MAX_SECONDS: Final = 30
# How soon the server notices that a client is gone.
_POLL_SECONDS: Final = 1.0


class EventListParameters(RequestModel):
    after: Annotated[int, whole_number(0, 2**53)] = Field(
        default=0, description="Events after this position, without it; 0 is the beginning."
    )
    limit: Annotated[int, whole_number(1, _MAX_EVENTS)] = 100
    types: Annotated[tuple[str, ...], comma_list(parse_type, EVENT_TYPE)] = Field(
        default=(), description="Such as `user.renamed`, or `user.*` for all of a kind."
    )
    user: UuidField | None = None
    wait: Annotated[int, whole_number(0, _MAX_SECONDS)] = Field(
        default=0, description="Seconds to wait for an event where there is none yet."
    )


@operation(
    "GET",
    "/v1/events",
    tag="Events",
    summary="Read events after a position",
    answers=EventList,
    problems=("position-gone",),
)
async def list_events(call: Query[EventListParameters]) -> Response:
    asked = call.parameters
    page = await (_awaited_page(call) if asked.wait else _page(call, asked.after))
    await call.opened("events")
    return await resource_list(call, page, page.position)


@operation(
    "GET",
    "/v1/events/{event_id}",
    tag="Events",
    summary="Read one event",
    answers=Envelope,
)
async def read_event(call: Query[NoParameters]) -> Response:
    event_id = call.id_in_path("event_id")
    position = await call.log_position()
    recorded = await call.services.feed.event(event_id)
    if recorded is None or not (recorded.kind == "user" or call.principal.may("admin")):
        raise NotFound("There is no event with this id.")
    return resource(_envelope(call, recorded), position)


async def _awaited_page(call: Query[EventListParameters]) -> EventList:
    """The page as soon as it has an event, or at the deadline."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + call.parameters.wait
    page = await _page(call, call.parameters.after)
    if page.items or page.next_after < page.head:
        return page
    services, limit = call.services, call.parameters.limit
    async with services.tail.cursor(_wanted(call), page.next_after) as cursor:
        while (left := deadline - loop.time()) > 0 and not services.stopping.is_set():
            batch = await cursor.next(min(left, _POLL_SECONDS), limit)
            if not await services.callers.is_valid(call.principal):
                raise InvalidToken  # it was revoked while the request waited
            page = _list(call, [e.recorded for e in batch.events], batch.position, batch.head)
            if page.items or await call.request.is_disconnected():
                break
    return page


async def _page(call: Query[EventListParameters], after: int) -> EventList:
    head = await call.log_position()
    found = await call.services.feed.search(after, _wanted(call), call.parameters.limit)
    if found.reached == after > head:
        # Not a position of this log: a client that continues there would miss earlier events.
        raise InvalidRequest.at("after", f"Is above the head of the log, {head}.")
    return _list(call, found.events, found.reached, head)


def _wanted(call: Query[EventListParameters]) -> EventFilter:
    asked = call.parameters
    return EventFilter.parse(asked.types, user=asked.user, every_kind=call.principal.may("admin"))


def _list(
    call: Query[Any], events: Iterable[Recorded[Event]], reached: int, head: int
) -> EventList:
    return EventList(
        items=[_envelope(call, recorded) for recorded in events],
        next_after=reached,
        head=max(head, reached),
        position=max(head, reached),
    )


def _envelope(call: Query[Any], recorded: Recorded[Event]) -> Envelope:
    opened = call.principal.may("users:read")
    return envelope(recorded, call.services.log_id, opened=opened)
