"""The users: registering, reading, listing and changing them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from fastapi import Response
from msgspec.structs import replace

from application.errors import UserGone
from application.queries.directory import Answer, ListCursor, UserPage
from application.queries.resources import User
from application.users.commands import Outcome
from domain.errors import InvalidValue, UserAlreadyExists, UserNotFound
from domain.user.commands import (
    ChangeUser,
    DeleteUser,
    RegisterUser,
    ReinstateUser,
    ReplaceUser,
    RestoreUser,
    SuspendUser,
    UserCommand,
)
from interfaces.http.endpoint.answers import replayed, resource, resource_list
from interfaces.http.endpoint.call import Call, Command, Query
from interfaces.http.endpoint.operation import (
    RECORDED,
    RECORDED_FOR_ONE_USER,
    Endpoint,
    Method,
    Operation,
    operation,
)
from interfaces.http.protocol.body import JSON, MERGE_PATCH
from interfaces.http.protocol.consistency import MIN_POSITION, POSITION
from interfaces.http.protocol.cursors import Pages
from interfaces.http.protocol.preconditions import IF_NONE_MATCH, etag, is_known
from interfaces.http.protocol.problems import Slug
from interfaces.http.protocol.refusals import InvalidRequest
from interfaces.http.schemas.lists import UserList
from interfaces.http.schemas.users import (
    ChangeBody,
    PastParameters,
    ReasonBody,
    RegisterBody,
    ReplaceBody,
    UserListParameters,
)

_PATH: Final = "/v1/users/{user_id}"
_TAKEN: Final[tuple[Slug, ...]] = ("email-taken", "external-id-taken")
_GONE: Final[tuple[Slug, ...]] = ("user-deleted", "user-erased")


def _change(
    method: Method,
    path: str,
    summary: str,
    problems: Sequence[Slug] = (),
    *,
    accepts: Sequence[str] = (JSON,),
    body_required: bool = False,
) -> Callable[[Endpoint], Operation]:
    """Declare a command for one user, which answers with the user."""
    return operation(
        method,
        path,
        tag="Users",
        summary=summary,
        answers=User,
        headers=RECORDED_FOR_ONE_USER,
        problems=problems,
        accepts=accepts,
        body_required=body_required,
    )


@operation(
    "POST",
    "/v1/users",
    tag="Users",
    summary="Register a user",
    answers=User,
    status=201,
    headers=RECORDED,
    problems=(*_TAKEN, "user-exists", "user-erased"),
    body_required=True,
)
async def register_user(call: Command[RegisterBody]) -> Response:
    values = dict[str, Any](call.body)
    given, import_key = values.pop("id"), values.pop("import_key")
    if given is not None and import_key is not None:
        raise InvalidRequest.at("#/import_key", "Give either id or import_key.")
    user_id = given or (
        call.services.new_id() if import_key is None else call.services.import_id(import_key)
    )
    register = RegisterUser(user_id=user_id, **values)
    try:
        outcome = await _outcome(call, user_id, register, status=201)
    except UserAlreadyExists:
        if import_key is not None:
            # Raises `UserGone` if the person is erased, so that the importing party knows why.
            await call.services.commands.user_at(user_id)
        raise
    return _user(call, outcome, {"Location": f"/v1/users/{outcome.user.user_id}"})


@operation(
    "GET",
    "/v1/users",
    tag="Users",
    summary="List users",
    answers=UserList,
)
async def list_users(call: Query[UserListParameters]) -> Response:
    asked = call.parameters.query()
    pages = Pages(call.services.cursors, ("users", replace(asked, limit=0)), ListCursor)

    def render(answer: Answer[UserPage]) -> bytes:
        page = UserList(
            items=[User.of_view(view) for view in answer.value.items],
            next_cursor=pages.cursor(answer.value.next),
            position=answer.position,
        )
        return msgspec.json.encode(page)

    asked = replace(asked, after=pages.place(call.parameters.cursor))
    answer = await call.services.documents.users(asked, render, at_least=call.at_least)
    await call.opened("users")
    return await resource_list(call, answer.value, answer.position)


@operation(
    "GET",
    _PATH,
    tag="Users",
    summary="Read a user, as it is or as it was",
    answers=User,
    headers=(MIN_POSITION, IF_NONE_MATCH),
    problems=_GONE,
)
async def read_user(call: Query[PastParameters]) -> Response:
    asked = call.parameters
    if asked.at is not None and asked.version is not None:
        raise InvalidRequest.at("version", "Give either at or version.")
    user_id = call.user_id
    if asked.at is not None or asked.version is not None:
        position = await call.log_position()
        past = await call.services.commands.user_at(user_id, version=asked.version, at=asked.at)
        user = User.of_state(past)
        return _shown(call, msgspec.json.encode(user), user.version, position)
    answer = await call.services.documents.user(user_id, at_least=call.at_least)
    user = answer.value
    if user is None:
        raise UserNotFound
    if user.status in ("deleted", "erased"):
        raise UserGone(user.status, user.version, datetime.fromisoformat(user.updated_at))
    return _shown(call, user.body, user.version, answer.position)


@_change("PUT", _PATH, "Replace all fields of a user", (*_TAKEN, *_GONE), body_required=True)
async def replace_user(call: Command[ReplaceBody]) -> Response:
    return await _changed(call, ReplaceUser(**dict(call.body)))


@_change(
    "PATCH",
    _PATH,
    "Change some fields of a user",
    (*_TAKEN, *_GONE),
    accepts=(MERGE_PATCH, JSON),
    body_required=True,
)
async def change_user(call: Command[ChangeBody]) -> Response:
    try:
        return await _changed(call, ChangeUser(**call.body))
    except InvalidValue as error:
        # Only attributes are checked after the merge.
        raise InvalidRequest.at("#/attributes", str(error)) from None


@_change("POST", f"{_PATH}/suspend", "Suspend a user", _GONE)
async def suspend_user(call: Command[ReasonBody]) -> Response:
    return await _changed(call, SuspendUser(call.body.reason))


@_change("POST", f"{_PATH}/reinstate", "Reinstate a suspended user", _GONE)
async def reinstate_user(call: Command[ReasonBody]) -> Response:
    return await _changed(call, ReinstateUser(call.body.reason))


@_change("POST", f"{_PATH}/restore", "Restore a deleted user", (*_TAKEN, "user-erased"))
async def restore_user(call: Command[ReasonBody]) -> Response:
    return await _changed(call, RestoreUser(call.body.reason))


@operation(
    "DELETE",
    _PATH,
    tag="Users",
    summary="Delete a user; the history stays",
    answers=None,
    status=204,
    headers=RECORDED_FOR_ONE_USER,
)
async def delete_user(call: Command[ReasonBody]) -> Response:
    outcome = await _outcome(call, call.user_id, DeleteUser(call.body.reason), status=204)
    return Response(status_code=outcome.status, headers=_receipt(outcome))


async def _outcome(
    call: Command[Any], user_id: UUID, command: UserCommand, status: int = 200
) -> Outcome:
    outcome = await call.services.commands.execute(
        user_id, command, call.context, if_match=call.if_match, status=status
    )
    call.services.recent.remember(call.principal.actor, outcome.position)
    return outcome


async def _changed(call: Command[Any], command: UserCommand) -> Response:
    return _user(call, await _outcome(call, call.user_id, command))


def _user(
    call: Command[Any], outcome: Outcome, headers: Mapping[str, str] | None = None
) -> Response:
    """The user after a command, as far as the caller may see it."""
    user = User.of_state(outcome.shown)
    if not call.principal.may("users:read"):
        user = user.sealed()
    headers = {**_receipt(outcome), "ETag": etag(user.version), **(headers or {})}
    return resource(user, outcome.position, outcome.status, headers)


def _receipt(outcome: Outcome) -> dict[str, str]:
    return {POSITION: str(outcome.position), **replayed(outcome.replayed)}


def _shown(call: Call[Any, Any], body: bytes, version: int, position: int) -> Response:
    headers = {"ETag": etag(version)}
    if is_known(call.request, version):
        return Response(status_code=304, headers={POSITION: str(position), **headers})
    return resource(body, position, headers=headers)
