"""Statistics, the progress of projections, and the identity of the caller."""

from typing import Final

import msgspec
from fastapi import Response

from application.queries.resources import Statistics
from interfaces.http.endpoint.operation import Operation
from interfaces.http.endpoint.query import QueryCall, query
from interfaces.http.protocol.body import JSON
from interfaces.http.protocol.consistency import POSITION
from interfaces.http.protocol.negotiation import compressible
from interfaces.http.protocol.validation import NoParameters
from interfaces.http.schemas.lists import Me, ProjectionList


@query(
    "/v1/stats",
    NoParameters,
    needs="users:read",
    tag="Overview",
    summary="Count the users",
    answers=Statistics,
)
async def read_stats(call: QueryCall[NoParameters]) -> Response:
    services = call.services
    answer = await services.documents.stats(services.now(), at_least=call.at_least)
    return Response(answer.value, headers={POSITION: str(answer.position)}, media_type=JSON)


@query(
    "/v1/projections",
    NoParameters,
    needs="events:read",
    tag="Overview",
    summary="List the projections and how far they are",
    answers=ProjectionList,
)
async def list_projections(call: QueryCall[NoParameters]) -> Response:
    await call.log_position()
    answer = await call.services.queries.projections()
    page = ProjectionList(items=answer.value, next_cursor=None, position=answer.position)
    headers = {POSITION: str(answer.position)}
    return await compressible(call.request, msgspec.json.encode(page), headers, JSON)


@query(
    "/v1/me",
    NoParameters,
    needs=None,
    positioned=False,
    tag="Overview",
    summary="See who the token belongs to, and what it may do",
    answers=Me,
)
async def read_me(call: QueryCall[NoParameters]) -> Response:
    principal = call.principal
    me = Me(actor=principal.actor, permissions=principal.granted, name=principal.name)
    return Response(msgspec.json.encode(me), media_type=JSON)


OVERVIEW: Final[tuple[Operation, ...]] = (read_stats, list_projections, read_me)
