"""The audit: changes with actor and time, for all users or one; the actor of each field."""

from typing import Any, Final
from uuid import UUID

import msgspec
from fastapi import Response
from msgspec.structs import replace

from application.audit.blame import UserBlame, blame
from application.audit.search import AuditPage, AuditQuery
from domain.errors import UserNotFound
from interfaces.http.endpoint.command import user_in_path
from interfaces.http.endpoint.operation import Operation
from interfaces.http.endpoint.query import QueryCall, query
from interfaces.http.protocol.body import JSON
from interfaces.http.protocol.consistency import POSITION
from interfaces.http.protocol.cursors import open_place, seal_place
from interfaces.http.protocol.negotiation import compressible
from interfaces.http.protocol.validation import NoParameters
from interfaces.http.schemas.audit import AuditParameters, HistoryParameters
from interfaces.http.schemas.lists import AuditList


@query(
    "/v1/audit",
    AuditParameters,
    needs="audit:read",
    tag="Audit",
    summary="See who changed what, the newest first",
    answers=AuditList,
)
async def read_audit(call: QueryCall[AuditParameters]) -> Response:
    asked = call.parameters
    position = await call.log_position()
    user = asked.user
    if user is not None and not isinstance(user, UUID):
        user = await call.services.audit.user_at(user)
        if user is None:
            # No user has the address now: the list is empty, also for an earlier cursor.
            return await _answer(call, AuditPage((), None), AuditQuery(), position)
    return await _page(call, asked.query(user, every_kind=call.principal.may("admin")), position)


@query(
    "/v1/users/{user_id}/history",
    HistoryParameters,
    needs="audit:read",
    tag="Audit",
    summary="See what happened to a user, the newest first; also to one that is gone",
    answers=AuditList,
    problems=("not-found",),
)
async def read_history(call: QueryCall[HistoryParameters]) -> Response:
    user_id = user_in_path(call.request)
    position = await call.log_position()
    asked = AuditQuery(user=user_id, kinds=("user",), limit=call.parameters.limit)
    return await _page(call, asked, position, missing=UserNotFound)


@query(
    "/v1/users/{user_id}/blame",
    NoParameters,
    needs="audit:read",
    tag="Audit",
    summary="See who set each field of a user",
    answers=UserBlame,
    problems=("not-found", "user-deleted", "user-erased"),
)
async def read_blame(call: QueryCall[NoParameters]) -> Response:
    user_id = user_in_path(call.request)
    position = await call.log_position()
    services = call.services
    found = await blame(
        services.commands, services.user_events, user_id, opened=call.principal.may("users:read")
    )
    headers = {POSITION: str(position)}
    return await compressible(call.request, msgspec.json.encode(found), headers, JSON)


AUDIT: Final[tuple[Operation, ...]] = (read_audit, read_history, read_blame)


async def _page(
    call: QueryCall[Any],
    asked: AuditQuery,
    position: int,
    *,
    missing: type[Exception] | None = None,
) -> Response:
    cursor: str | None = call.parameters.cursor
    before = (
        None if cursor is None else open_place(call.services.cursors, _list(asked), cursor, int)
    )
    page = await call.services.audit.page(
        replace(asked, before=before), opened=call.principal.may("users:read")
    )
    if missing is not None and before is None and not page.items:
        raise missing
    return await _answer(call, page, asked, position)


async def _answer(
    call: QueryCall[Any], page: AuditPage, asked: AuditQuery, position: int
) -> Response:
    found = AuditList(
        items=page.items,
        next_cursor=seal_place(call.services.cursors, _list(asked), page.before),
        position=position,
    )
    headers = {POSITION: str(position)}
    return await compressible(call.request, msgspec.json.encode(found), headers, JSON)


def _list(asked: AuditQuery) -> tuple[str, AuditQuery]:
    """What identifies the list: all but the page size."""
    return "audit", replace(asked, limit=0)
