"""Statistics, the progress of projections, and the identity of the caller."""

import msgspec
from fastapi import Response

from application.queries.resources import Statistics
from interfaces.http.endpoint.answers import resource, resource_list
from interfaces.http.endpoint.call import Query
from interfaces.http.endpoint.operation import operation
from interfaces.http.protocol.body import JSON
from interfaces.http.protocol.validation import NoParameters
from interfaces.http.schemas.lists import Me, ProjectionList


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
    summary="See who the token belongs to, and what it may do",
    answers=Me,
    headers=(),
)
async def read_me(call: Query[NoParameters]) -> Response:
    principal = call.principal
    me = Me(actor=principal.actor, permissions=principal.granted, name=principal.name)
    return Response(msgspec.json.encode(me), media_type=JSON)
