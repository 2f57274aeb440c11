"""Statistics, the progress of projections, and the identity of the caller."""

import msgspec
from fastapi import Response

from application.queries.resources import Statistics
from application.timestamps import timestamp
from interfaces.http.endpoint.answers import resource, resource_list
from interfaces.http.endpoint.call import Query
from interfaces.http.endpoint.operation import operation
from interfaces.http.protocol.body import JSON
from interfaces.http.protocol.validation import NoParameters
from interfaces.http.schemas.access import Me
from interfaces.http.schemas.lists import ProjectionList


@operation(
    "GET",
    "/v1/stats",
    tag="Overview",
    summary="Count the users",
    answers=Statistics,
)
async def read_stats(call: Query[NoParameters]) -> Response:
    services = call.services
    answer = await services.documents.stats(services.now(), at_least=call.at_least)
    return resource(answer.value, answer.position)


@operation(
    "GET",
    "/v1/projections",
    tag="Overview",
    summary="List the projections and how far they are",
    answers=ProjectionList,
)
async def list_projections(call: Query[NoParameters]) -> Response:
    await call.log_position()
    answer = await call.services.queries.projections()
    page = ProjectionList(items=answer.value, next_cursor=None, position=answer.position)
    return await resource_list(call, page, answer.position)


@operation(
    "GET",
    "/v1/me",
    tag="Overview",
    summary="See whose the token or session is, and what it may do",
    answers=Me,
    headers=(),
)
async def read_me(call: Query[NoParameters]) -> Response:
    principal = call.principal
    expires_at = principal.expires_at
    me = Me(
        actor=principal.actor,
        name=principal.name,
        kind=principal.kind,
        permissions=principal.granted,
        preset=principal.preset,
        expires_at=None if expires_at is None else timestamp(expires_at),
    )
    return Response(msgspec.json.encode(me), media_type=JSON)
