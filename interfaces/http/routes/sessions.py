"""Sessions of the console: list them and end them."""

from typing import Any, Final
from uuid import UUID

from fastapi import Response

from interfaces.http.endpoint.answers import resource_list
from interfaces.http.endpoint.call import Call, Command, Nothing, Query
from interfaces.http.endpoint.operation import operation
from interfaces.http.protocol.consistency import POSITION
from interfaces.http.protocol.cursors import Pages
from interfaces.http.protocol.refusals import NotFound
from interfaces.http.routes.signin import TAG
from interfaces.http.schemas.access import Session, SessionList, SessionListParameters

SESSIONS: Final = "/v1/sessions"


@operation(
    "GET",
    SESSIONS,
    tag=TAG,
    summary="List your sessions, the newest first; with `admin` those of everybody",
    answers=SessionList,
)
async def list_sessions(call: Query[SessionListParameters]) -> Response:
    services, asked, actor = call.services, call.parameters, _whose(call)
    pages = Pages(services.cursors, ("sessions", actor), UUID)
    position = await call.log_position()
    found = await services.sessions.page(actor, before=pages.place(asked.cursor), limit=asked.limit)
    page = SessionList(
        items=[Session.of(each, call.principal.credential) for each in found.items],
        next_cursor=pages.cursor(found.next),
        position=position,
    )
    return await resource_list(call, page, position)


@operation(
    "DELETE",
    f"{SESSIONS}/{{session_id}}",
    tag=TAG,
    summary="End a session of yours; with `admin` any",
    answers=None,
    status=204,
)
async def end_session(call: Command[Nothing]) -> Response:
    """Everywhere within 5 seconds; its streams close with 4401."""
    credential = await call.services.sessions.end_one(call.id_in_path("session_id"), _whose(call))
    if credential is not None:
        call.services.callers.forget(credential)
    elif not call.may_be_done:
        raise NotFound("There is no session with this id.")
    return Response(status_code=204, headers={POSITION: str(await call.log_position())})


def _whose(call: Call[Any, Any]) -> str | None:
    """The actor whose sessions the caller may see and end; None: those of everybody."""
    return None if call.principal.may("admin") else call.principal.actor
