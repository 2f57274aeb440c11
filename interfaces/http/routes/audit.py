"""The audit: changes with actor and time, for all users or one; the actor of each field."""

from typing import Any
from uuid import UUID

from fastapi import Response
from msgspec.structs import replace

from application.audit.blame import UserBlame, blame
from application.audit.search import AuditQuery
from domain.errors import UserNotFound
from interfaces.http.endpoint.answers import resource_list
from interfaces.http.endpoint.call import Query
from interfaces.http.endpoint.operation import operation
from interfaces.http.protocol.cursors import PageParameters, Pages
from interfaces.http.protocol.validation import NoParameters
from interfaces.http.schemas.audit import AuditParameters
from interfaces.http.schemas.lists import AuditList


@operation(
    "GET",
    "/v1/audit",
    tag="Audit",
    summary="See who changed what, the newest first",
    answers=AuditList,
)
async def read_audit(call: Query[AuditParameters]) -> Response:
    asked = call.parameters
    position = await call.log_position()
    user = asked.user
    if user is not None and not isinstance(user, UUID):
        user = await call.services.audit.user_at(user)
        if user is None:
            # No user has the address now: the list is empty, also for an earlier cursor.
            page = AuditList(items=(), next_cursor=None, position=position)
            return await resource_list(call, page, position)
    page = await _page(call, asked.query(user, every_kind=call.principal.may("admin")), position)
    await call.opened("audit")
    return await resource_list(call, page, position)


@operation(
    "GET",
    "/v1/users/{user_id}/history",
    tag="Audit",
    summary="See what happened to a user, the newest first; also to one that is gone",
    answers=AuditList,
)
async def read_history(call: Query[PageParameters]) -> Response:
    user_id = call.user_id
    position = await call.log_position()
    asked = AuditQuery(user=user_id, kinds=("user",), limit=call.parameters.limit)
    page = await _page(call, asked, position, missing=UserNotFound)
    return await resource_list(call, page, position)


@operation(
    "GET",
    "/v1/users/{user_id}/blame",
    tag="Audit",
    summary="See who set each field of a user",
    answers=UserBlame,
    problems=("user-deleted", "user-erased"),
)
async def read_blame(call: Query[NoParameters]) -> Response:
    user_id = call.user_id
    position = await call.log_position()
    services = call.services
    found = await blame(
        services.commands, services.user_events, user_id, opened=call.principal.may("users:read")
    )
    return await resource_list(call, found, position)


async def _page(
    call: Query[Any], asked: AuditQuery, position: int, missing: type[Exception] | None = None
) -> AuditList:
    pages = Pages(call.services.cursors, ("audit", replace(asked, limit=0)), int)
    before = pages.place(call.parameters.cursor)
    page = await call.services.audit.page(
        replace(asked, before=before), opened=call.principal.may("users:read")
    )
    if missing is not None and before is None and not page.items:
        raise missing
    return AuditList(items=page.items, next_cursor=pages.cursor(page.before), position=position)
