"""The users: registering, reading, listing and changing them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import msgspec
from fastapi import Response

from application.errors import UserGone
from application.queries.directory import Answer, UserPage
from application.queries.resources import User
from application.users.commands import Outcome
from domain.errors import InvalidValue, UserNotFound
from domain.user.commands import (
    ChangeUser,
    DeleteUser,
    RegisterUser,
    ReinstateUser,
    ReplaceUser,
    RestoreUser,
    SuspendUser,
)
from interfaces.http.endpoint.command import CommandCall, command, user_in_path
from interfaces.http.endpoint.operation import Operation
from interfaces.http.endpoint.query import QueryCall, query
from interfaces.http.protocol.body import JSON, MERGE_PATCH
from interfaces.http.protocol.consistency import POSITION
from interfaces.http.protocol.cursors import open_cursor, seal_cursor
from interfaces.http.protocol.idempotency import IDEMPOTENCY_REPLAYED
from interfaces.http.protocol.negotiation import compressible
from interfaces.http.protocol.preconditions import etag, is_known
from interfaces.http.protocol.refusals import FieldError, InvalidRequest
from interfaces.http.schemas.lists import UserList
from interfaces.http.schemas.users import (
    ChangeBody,
    PastParameters,
    ReasonBody,
    RegisterBody,
    ReplaceBody,
    UserListParameters,
)


@command(
    "POST",
    "/v1/users",
    RegisterBody,
    summary="Register a user",
    answers=User,
    status=201,
    problems=("email-taken", "external-id-taken", "user-exists"),
)
async def register_user(call: CommandCall[RegisterBody]) -> Response:
    body = call.body
    user_id = body.id or call.services.new_id()
    register = RegisterUser(
        user_id=user_id,
        name=body.name,
        email=body.email,
        role=body.role,
        external_id=body.external_id,
        attributes=body.attributes,
    )
    outcome = await call.execute(user_id, register, status=201)
    return _changed(outcome, {"Location": f"/v1/users/{outcome.user.user_id}"})


@query(
    "/v1/users",
    UserListParameters,
    needs="users:read",
    tag="Users",
    summary="List users",
    answers=UserList,
)
async def list_users(call: QueryCall[UserListParameters]) -> Response:
    asked = call.parameters.query()
    page_of = asked
    if call.parameters.cursor is not None:
        page_of = open_cursor(call.services.cursors, asked, call.parameters.cursor)

    def render(answer: Answer[UserPage]) -> bytes:
        page = UserList(
            items=[User.of_view(view) for view in answer.value.items],
            next_cursor=seal_cursor(call.services.cursors, asked, answer.value.next),
            position=answer.position,
        )
        return msgspec.json.encode(page)

    answer = await call.services.documents.users(page_of, render, at_least=call.at_least)
    headers = {POSITION: str(answer.position)}
    return await compressible(call.request, answer.value, headers, JSON)


@query(
    "/v1/users/{user_id}",
    PastParameters,
    needs="users:read",
    tag="Users",
    summary="Read a user, as it is or as it was",
    answers=User,
    problems=("not-found", "user-deleted", "user-erased"),
    cacheable=True,
)
async def read_user(call: QueryCall[PastParameters]) -> Response:
    asked = call.parameters
    if asked.at is not None and asked.version is not None:
        raise InvalidRequest([FieldError("version", "Give either at or version.")])
    user_id = user_in_path(call.request)
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


@command(
    "PUT",
    "/v1/users/{user_id}",
    ReplaceBody,
    summary="Replace all fields of a user",
    answers=User,
    problems=("email-taken", "external-id-taken", "user-deleted", "user-erased"),
)
async def replace_user(call: CommandCall[ReplaceBody]) -> Response:
    body = call.body
    replace = ReplaceUser(
        name=body.name,
        email=body.email,
        role=body.role,
        external_id=body.external_id,
        attributes=body.attributes,
    )
    return _changed(await call.execute(call.user_id, replace))


@command(
    "PATCH",
    "/v1/users/{user_id}",
    ChangeBody,
    summary="Change some fields of a user",
    answers=User,
    accepts=(MERGE_PATCH, JSON),
    problems=("email-taken", "external-id-taken", "user-deleted", "user-erased"),
)
async def change_user(call: CommandCall[ChangeBody]) -> Response:
    try:
        return _changed(await call.execute(call.user_id, ChangeUser(**call.body)))
    except InvalidValue as error:
        # Only attributes are checked after the merge.
        raise InvalidRequest([FieldError("#/attributes", str(error))]) from None


@command(
    "POST",
    "/v1/users/{user_id}/suspend",
    ReasonBody,
    summary="Suspend a user",
    answers=User,
    body_required=False,
    problems=("user-deleted", "user-erased"),
)
async def suspend_user(call: CommandCall[ReasonBody]) -> Response:
    return _changed(await call.execute(call.user_id, SuspendUser(call.body.reason)))


@command(
    "POST",
    "/v1/users/{user_id}/reinstate",
    ReasonBody,
    summary="Reinstate a suspended user",
    answers=User,
    body_required=False,
    problems=("user-deleted", "user-erased"),
)
async def reinstate_user(call: CommandCall[ReasonBody]) -> Response:
    return _changed(await call.execute(call.user_id, ReinstateUser(call.body.reason)))


@command(
    "POST",
    "/v1/users/{user_id}/restore",
    ReasonBody,
    summary="Restore a deleted user",
    answers=User,
    body_required=False,
    problems=("email-taken", "external-id-taken", "user-erased"),
)
async def restore_user(call: CommandCall[ReasonBody]) -> Response:
    return _changed(await call.execute(call.user_id, RestoreUser(call.body.reason)))


@command(
    "DELETE",
    "/v1/users/{user_id}",
    ReasonBody,
    summary="Delete a user; the history stays",
    answers=None,
    status=204,
    body_required=False,
)
async def delete_user(call: CommandCall[ReasonBody]) -> Response:
    outcome = await call.execute(call.user_id, DeleteUser(call.body.reason), status=204)
    return Response(status_code=outcome.status, headers=_receipt(outcome))


USERS: Final[tuple[Operation, ...]] = (
    register_user,
    list_users,
    read_user,
    replace_user,
    change_user,
    suspend_user,
    reinstate_user,
    restore_user,
    delete_user,
)


def _changed(outcome: Outcome, headers: Mapping[str, str] | None = None) -> Response:
    """The user after a command."""
    user = User.of_state(outcome.shown)
    headers = {**_receipt(outcome), **(headers or {})}
    return _user(msgspec.json.encode(user), user.version, outcome.status, headers)


def _receipt(outcome: Outcome) -> dict[str, str]:
    receipt = {POSITION: str(outcome.position)}
    if outcome.replayed:
        receipt[IDEMPOTENCY_REPLAYED] = "true"
    return receipt


def _shown(call: QueryCall[PastParameters], body: bytes, version: int, position: int) -> Response:
    headers = {POSITION: str(position)}
    if is_known(call.request, version):
        return Response(status_code=304, headers={**headers, "ETag": etag(version)})
    return _user(body, version, 200, headers)


def _user(body: bytes, version: int, status: int, headers: Mapping[str, str]) -> Response:
    return Response(body, status, {**headers, "ETag": etag(version)}, JSON)
