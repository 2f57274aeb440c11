"""Tokens: create, list, read, rotate and revoke them."""

from typing import Any, Final
from uuid import UUID

from fastapi import Response
from msgspec.structs import replace

from application.access.tokens import TokenOutcome
from application.context import Context
from domain.errors import TokenExpired, TokenExpiryPast, TokenNotFound, TooManyTokens
from domain.token.commands import IssueToken, RotateToken
from interfaces.http.endpoint.answers import resource, resource_list
from interfaces.http.endpoint.call import Call, Command, Nothing, Query
from interfaces.http.endpoint.operation import operation
from interfaces.http.protocol.consistency import POSITION
from interfaces.http.protocol.cursors import PageParameters, Pages
from interfaces.http.protocol.refusals import InvalidRequest
from interfaces.http.protocol.validation import NoParameters
from interfaces.http.schemas.tokens import (
    CreateTokenBody,
    RotateTokenBody,
    Token,
    TokenList,
    TokenWithSecret,
)

_TOKENS: Final = "/v1/tokens"
_ONE: Final = f"{_TOKENS}/{{token_id}}"
_TAG: Final = "Tokens"


@operation(
    "POST",
    _TOKENS,
    tag=_TAG,
    summary="Create a token: the secret that a program sends to be admitted",
    answers=TokenWithSecret,
    status=201,
    body_required=True,
    secrets=("token",),
    answer_headers=("Location",),
)
async def create_token(call: Command[CreateTokenBody]) -> Response:
    """`token` is shown in this answer only. The name, the permissions and the expiry do not change
    later.
    """
    asked, services = call.body, call.services
    command = IssueToken(
        name=asked.name,
        permissions=asked.granted,
        expires_at=asked.expires_at,
        now=services.now(),
    )
    token_id = call.job_id or services.new_id()
    try:
        outcome = await services.tokens.issue(token_id, command, _context(call))
    except TokenExpiryPast as error:
        raise InvalidRequest.at("#/expires_at", str(error)) from None
    except TooManyTokens as error:
        raise InvalidRequest.at("#", str(error)) from None
    return await _with_secret(call, outcome, 201)


@operation(
    "GET",
    _TOKENS,
    tag=_TAG,
    summary="List the tokens that are not revoked, the oldest first",
    answers=TokenList,
)
async def list_tokens(call: Query[PageParameters]) -> Response:
    services, asked = call.services, call.parameters
    pages = Pages(services.cursors, ("tokens",), UUID)
    position = await call.log_position()
    found = await services.tokens.tokens(pages.place(asked.cursor), asked.limit)
    uses = await services.tokens.last_uses(found.tokens)
    page = TokenList(
        items=[Token.of(token, uses.get(token.id)) for token in found.tokens],
        next_cursor=pages.cursor(found.next),
        position=position,
    )
    return await resource_list(call, page, position)


@operation(
    "GET",
    _ONE,
    tag=_TAG,
    summary="Read a token",
    answers=Token,
)
async def read_token(call: Query[NoParameters]) -> Response:
    position = await call.log_position()
    token = await call.services.tokens.token(_token_id(call))
    uses = await call.services.tokens.last_uses([token])
    return resource(Token.of(token, uses.get(token.id)), position)


@operation(
    "POST",
    f"{_ONE}/rotate",
    tag=_TAG,
    summary="Make a new secret; the former one may be accepted for a while",
    answers=TokenWithSecret,
    secrets=("token",),
)
async def rotate_token(call: Command[RotateTokenBody]) -> Response:
    """`token` is shown in this answer only. A rotation during an overlap ends the first of the three
    secrets at once.
    """
    command = RotateToken(
        request=call.job_id or call.services.new_id(),
        overlap=call.body.overlap,
        now=call.services.now(),
    )
    try:
        outcome = await call.services.tokens.rotate(_token_id(call), command, _context(call))
    except TokenExpired as error:
        raise InvalidRequest.at("#", str(error)) from None
    return await _with_secret(call, outcome)


@operation(
    "DELETE",
    _ONE,
    tag=_TAG,
    summary="Revoke a token",
    answers=None,
    status=204,
)
async def revoke_token(call: Command[Nothing]) -> Response:
    """For good: within 5 seconds every process refuses it, and its streams are closed within 10. A
    repeat records nothing.
    """
    position = await call.services.tokens.revoke(_token_id(call), _context(call))
    return Response(status_code=204, headers={POSITION: str(position)})


def _token_id(call: Call[Any, Any]) -> UUID:
    """The token in the path. Raises `TokenNotFound` if it is not an id."""
    return call.id_in_path("token_id", TokenNotFound)


def _context(call: Call[Any, Any]) -> Context:
    """Without the key: the answer is kept beside the log."""
    return replace(call.context, idempotency=None)


async def _with_secret(call: Call[Any, Any], outcome: TokenOutcome, status: int = 200) -> Response:
    token = outcome.state
    uses = await call.services.tokens.last_uses([token])
    body = TokenWithSecret.of(token, uses.get(token.id), token=outcome.secret)
    headers = {"Location": f"{_TOKENS}/{token.id}"} if status == 201 else {}
    return resource(body, outcome.position, status, headers)
