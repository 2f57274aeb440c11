"""Admin commands over HTTP: the checks before the work, in the order of the contract."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from fastapi import Request, Response
from msgspec import Struct
from pydantic import TypeAdapter

from application.identity import Principal
from interfaces.http.endpoint import openapi
from interfaces.http.endpoint.auth import Admission, require_permission
from interfaces.http.endpoint.operation import Operation
from interfaces.http.endpoint.services import Services
from interfaces.http.protocol.body import JSON, parse_body, read_body
from interfaces.http.protocol.consistency import POSITION
from interfaces.http.protocol.idempotency import IDEMPOTENCY_KEY, idempotency_key
from interfaces.http.protocol.negotiation import refuse_unacceptable
from interfaces.http.protocol.problems import Slug
from interfaces.http.protocol.validation import NoParameters, RequestModel, fields, parameters

B = TypeVar("B")

_ADMINISTRATORS: Final = require_permission("admin")
_NO_PARAMETERS: Final = TypeAdapter(NoParameters)
_COMMON: Final[tuple[Slug, ...]] = (
    "malformed-request",
    "unauthenticated",
    "forbidden",
    "not-found",
    "not-acceptable",
    "too-large",
    "unsupported-media-type",
    "invalid-request",
    "internal",
    "unavailable",
    "outcome-unknown",
)


class Nothing(RequestModel):
    """No member is needed."""


@dataclass(frozen=True, slots=True)
class AdminCommand(Generic[B]):
    """One request to do something that the log does not record."""

    services: Services
    request: Request
    principal: Principal
    body: B


def admin_command(
    path: str,
    body: type[B],
    *,
    tag: str,
    summary: str,
    answers: type[Struct],
    status: int = 200,
    problems: Sequence[Slug] = (),
    body_required: bool = False,
    admission: Admission = _ADMINISTRATORS,
) -> Callable[[Callable[[AdminCommand[B]], Awaitable[Response]]], Operation]:
    """Declare an admin command: the function gets it once all checks have passed.

    A repeat has the same effect, so an `Idempotency-Key` is only checked for its form.
    `admission` decides which callers may send it.
    """
    adapter = TypeAdapter(body)

    def declare(endpoint: Callable[[AdminCommand[B]], Awaitable[Response]]) -> Operation:
        async def serve(services: Services, request: Request) -> Response:
            principal = await admission(services, request)
            refuse_unacceptable(request)
            raw = await read_body(request, (JSON,), required=body_required)
            value = parse_body(raw, required=body_required)
            parameters(request, _NO_PARAMETERS)
            values = fields(adapter, value)
            idempotency_key(request, raw)
            return await endpoint(AdminCommand(services, request, principal, values))

        headers = [POSITION, *(["Location"] if status == 202 else [])]
        return Operation(
            method="POST",
            path=path,
            name=endpoint.__name__,
            tag=tag,
            summary=summary,
            status=status,
            serve=serve,
            body=adapter,
            answers=answers,
            document={
                **openapi.security("admin"),
                "parameters": [
                    *openapi.path_parameters(path),
                    *openapi.header_parameters(IDEMPOTENCY_KEY, "X-Request-ID"),
                ],
                "requestBody": openapi.request_body(adapter, (JSON,), required=body_required),
                "responses": {
                    str(status): openapi.answer(summary, answers, headers),
                    **openapi.problem_answers((*_COMMON, *problems)),
                },
            },
        )

    return declare
