"""Reactions: list them, enable or disable one, and retry or skip what failed."""

from typing import Any, Final

from fastapi import Response

from application.reactions.admin import NotParked, Skip
from interfaces.http.endpoint.answers import resource, resource_list
from interfaces.http.endpoint.call import Call, Command, Nothing, Query
from interfaces.http.endpoint.operation import operation
from interfaces.http.protocol.cursors import PageParameters, Pages
from interfaces.http.protocol.refusals import NotFound
from interfaces.http.protocol.validation import NoParameters
from interfaces.http.schemas.reactions import (
    ParkedUser,
    ParkedUserList,
    Reaction,
    ReactionList,
    SkipReactionBody,
    UnparkedUser,
)

_TAG: Final = "Reactions"
_PATH: Final = "/v1/reactions"
_PARKED: Final = f"{_PATH}/{{name}}/parked"


@operation(
    "GET",
    _PATH,
    tag=_TAG,
    summary="List what happens by itself, and where it stands",
    answers=ReactionList,
)
async def list_reactions(call: Query[NoParameters]) -> Response:
    position = await call.log_position()
    items = [Reaction.of(each) for each in await call.services.reactions.statuses()]
    page = ReactionList(items=items, next_cursor=None, position=position)
    return await resource_list(call, page, position)


@operation(
    "POST",
    f"{_PATH}/{{name}}/enable",
    tag=_TAG,
    summary="Enable a reaction, for events from now on",
    answers=Reaction,
)
async def enable_reaction(call: Command[Nothing]) -> Response:
    return await _switched(call, enabled=True)


@operation(
    "POST",
    f"{_PATH}/{{name}}/disable",
    tag=_TAG,
    summary="Disable a reaction; what it was still to do is skipped",
    answers=Reaction,
)
async def disable_reaction(call: Command[Nothing]) -> Response:
    return await _switched(call, enabled=False)


@operation(
    "GET",
    _PARKED,
    tag=_TAG,
    summary="List the users that are parked for a reaction, and why",
    answers=ParkedUserList,
)
async def list_parked_users(call: Query[PageParameters]) -> Response:
    services, asked = call.services, call.parameters
    name = await _name_of(call)
    position = await call.log_position()
    pages = Pages(services.cursors, ("reaction parked", name), int)
    after = pages.place(asked.cursor) or 0
    found = await services.reactions.parked(name, after, asked.limit + 1)
    items = found[: asked.limit]
    page = ParkedUserList(
        items=[ParkedUser.of(each) for each in items],
        next_cursor=pages.cursor(items[-1].position if len(found) > asked.limit else None),
        position=position,
    )
    return await resource_list(call, page, position)


@operation(
    "POST",
    f"{_PARKED}/{{user}}/retry",
    tag=_TAG,
    summary="Run the event at which a user is parked again",
    answers=UnparkedUser,
)
async def retry_parked_user(call: Command[Nothing]) -> Response:
    name, user = await _name_of(call), call.id_in_path("user")
    try:
        await call.services.reactions.retry(name, user)
    except NotParked:
        if not call.may_be_done:
            raise NotFound("This user is not parked for the reaction.") from None
    answer = UnparkedUser(reaction=name, user=user, state="queued")
    return resource(answer, await call.log_position())


@operation(
    "POST",
    f"{_PARKED}/{{user}}/skip",
    tag=_TAG,
    summary="Skip the event at which a user is parked for good, and go on after it",
    answers=UnparkedUser,
    body_required=True,
)
async def skip_parked_user(call: Command[SkipReactionBody]) -> Response:
    name, user = await _name_of(call), call.id_in_path("user")
    skip = Skip(
        id=call.job_id or call.services.new_id(),
        reason=call.body.reason,
        actor=call.principal.actor,
    )
    try:
        await call.services.reactions.skip(name, user, skip)
    except NotParked:
        raise NotFound("This user is not parked for the reaction.") from None
    answer = UnparkedUser(reaction=name, user=user, state="skipped")
    return resource(answer, await call.log_position())


async def _switched(call: Command[Nothing], *, enabled: bool) -> Response:
    name, actor = await _name_of(call), call.principal.actor
    status = await call.services.reactions.switch(name, actor, enabled=enabled)
    return resource(Reaction.of(status), await call.log_position())


async def _name_of(call: Call[Any, Any]) -> str:
    """The reaction in the path. Raises `NotFound` if neither this release nor the store has it."""
    name: str = call.request.path_params["name"]
    names = await call.services.reactions.names()
    if name not in names:
        raise NotFound(f"There is no such reaction. There are: {', '.join(names) or 'none'}.")
    return name
