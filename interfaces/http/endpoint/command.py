"""Commands over HTTP: the checks before the work, in the order of the contract."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Generic, Literal, TypeVar
from uuid import UUID

from fastapi import Request, Response
from msgspec import Struct
from pydantic import TypeAdapter

from application.context import Context
from application.identity import Permission, Principal
from application.users.commands import IfMatch, Outcome
from domain.errors import InvalidValue, UserNotFound
from domain.user.commands import UserCommand
from interfaces.http.endpoint import openapi
from interfaces.http.endpoint.auth import ON_BEHALF_OF, admit
from interfaces.http.endpoint.middleware import request_id_of
from interfaces.http.endpoint.operation import Operation
from interfaces.http.endpoint.services import Services
from interfaces.http.protocol.body import JSON, parse_body, read_body
from interfaces.http.protocol.fields import parse_uuid
from interfaces.http.protocol.headers import header, is_visible_ascii
from interfaces.http.protocol.idempotency import idempotency_key
from interfaces.http.protocol.negotiation import refuse_unacceptable
from interfaces.http.protocol.preconditions import precondition
from interfaces.http.protocol.problems import Slug
from interfaces.http.protocol.refusals import FieldError, InvalidRequest
from interfaces.http.protocol.validation import NoParameters, both, fields, parameters

B = TypeVar("B")
CommandMethod = Literal["POST", "PUT", "PATCH", "DELETE"]

_BEHALF_LIMIT: Final = 128
_NO_PARAMETERS: Final = TypeAdapter(NoParameters)
_REQUEST_HEADERS: Final = ("Idempotency-Key", ON_BEHALF_OF, "X-Request-ID")
_CONDITIONS: Final = ("If-Match", "If-None-Match")
_COMMON: Final[tuple[Slug, ...]] = (
    "malformed-request",
    "unauthenticated",
    "forbidden",
    "not-acceptable",
    "conflict",
    # A repeat cannot show a user that was erased meanwhile.
    "user-erased",
    "too-large",
    "unsupported-media-type",
    "invalid-request",
    "idempotency-mismatch",
    "internal",
    "overloaded",
    "unavailable",
    "outcome-unknown",
)
_ON_ONE_USER: Final[tuple[Slug, ...]] = ("not-found", "version-conflict")


@dataclass(frozen=True, slots=True)
class CommandCall(Generic[B]):
    """One request for a command, checked as far as possible without the log."""

    services: Services
    request: Request
    context: Context
    body: B
    if_match: IfMatch | None

    @property
    def user_id(self) -> UUID:
        """The user in the path. Raises `UserNotFound` if it is not an id."""
        return user_in_path(self.request)

    async def execute(self, user_id: UUID, command: UserCommand, status: int = 200) -> Outcome:
        outcome = await self.services.commands.execute(
            user_id, command, self.context, if_match=self.if_match, status=status
        )
        self.services.recent.remember(self.context.actor, outcome.position)
        return outcome


def command(
    method: CommandMethod,
    path: str,
    body: type[B],
    *,
    summary: str,
    answers: type[Struct] | None,
    problems: Sequence[Slug] = (),
    needs: Permission = "users:write",
    status: int = 200,
    accepts: Sequence[str] = (JSON,),
    body_required: bool = True,
) -> Callable[[Callable[[CommandCall[B]], Awaitable[Response]]], Operation]:
    """Declare a command of users: the function gets the call once all checks have passed."""
    adapter = TypeAdapter(body)
    on_one_user = "{user_id}" in path

    def declare(endpoint: Callable[[CommandCall[B]], Awaitable[Response]]) -> Operation:
        async def serve(services: Services, request: Request) -> Response:
            principal = await admit(request, services.identity, needs)
            if answers is not None:
                refuse_unacceptable(request)
            raw = await read_body(request, accepts, required=body_required)
            condition = precondition(request) if on_one_user else None
            value = parse_body(raw, required=body_required)
            _, (values, context) = both(
                lambda: parameters(request, _NO_PARAMETERS),
                lambda: both(
                    lambda: fields(adapter, value), lambda: _context(request, principal, raw)
                ),
            )
            return await endpoint(CommandCall(services, request, context, values, condition))

        return Operation(
            method=method,
            path=path,
            name=endpoint.__name__,
            tag="Users",
            summary=summary,
            status=status,
            serve=serve,
            body=adapter,
            answers=answers,
            document={
                **openapi.security(needs),
                "parameters": [
                    *openapi.path_parameters(path),
                    *openapi.header_parameters(*_REQUEST_HEADERS),
                    *openapi.header_parameters(*(_CONDITIONS if on_one_user else ())),
                ],
                "requestBody": openapi.request_body(adapter, accepts, required=body_required),
                "responses": {
                    str(status): openapi.answer(summary, answers, _headers(answers, status)),
                    **openapi.problem_answers(
                        (*_COMMON, *(_ON_ONE_USER if on_one_user else ()), *problems)
                    ),
                },
            },
        )

    return declare


def user_in_path(request: Request) -> UUID:
    """The id of the user. Raises `UserNotFound` if it is not an id."""
    try:
        return parse_uuid(request.path_params["user_id"])
    except InvalidValue:
        raise UserNotFound from None


def _context(request: Request, principal: Principal, body: bytes) -> Context:
    behalf, key = both(lambda: _on_behalf_of(request), lambda: idempotency_key(request, body))
    return Context(
        actor=principal.actor,
        correlation_id=request_id_of(request),
        on_behalf_of=behalf,
        idempotency=key,
    )


def _on_behalf_of(request: Request) -> str | None:
    name = header(request, ON_BEHALF_OF)
    if name is not None and not is_visible_ascii(name, _BEHALF_LIMIT):
        detail = f"Must be 1 to {_BEHALF_LIMIT} visible ASCII characters."
        raise InvalidRequest([FieldError(ON_BEHALF_OF, detail)])
    return name


def _headers(answers: type[Struct] | None, status: int) -> list[str]:
    names = ["Rollbook-Position", "Idempotency-Replayed"]
    if answers is not None:
        names.append("ETag")
    return [*names, "Location"] if status == HTTPStatus.CREATED else names
