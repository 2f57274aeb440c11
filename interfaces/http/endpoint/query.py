"""Queries over HTTP: the checks before the work, in the order of the contract."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from fastapi import Request, Response
from msgspec import Struct
from pydantic import TypeAdapter

from application.errors import PositionAhead
from application.identity import Permission, Principal
from interfaces.http.endpoint import openapi
from interfaces.http.endpoint.auth import Admission, require_permission
from interfaces.http.endpoint.operation import Operation
from interfaces.http.endpoint.services import Services
from interfaces.http.protocol.consistency import MIN_POSITION, POSITION, min_position
from interfaces.http.protocol.negotiation import refuse_unacceptable
from interfaces.http.protocol.problems import Slug
from interfaces.http.protocol.validation import parameters

P = TypeVar("P")

_COMMON: Final[tuple[Slug, ...]] = (
    "malformed-request",
    "unauthenticated",
    "forbidden",
    "not-acceptable",
    "invalid-request",
    "internal",
)
_POSITIONED: Final[tuple[Slug, ...]] = ("view-behind", "unavailable")


@dataclass(frozen=True, slots=True)
class QueryCall(Generic[P]):
    """One request for a query; `at_least` is the position its answer must show."""

    services: Services
    request: Request
    principal: Principal
    parameters: P
    at_least: int

    async def log_position(self) -> int:
        """The head of the log, for answers that are read from the log and never wait.

        Raises `PositionAhead`.
        """
        head = await self.services.feed.head()
        if self.at_least > head:
            raise PositionAhead(head)
        return head


def query(
    path: str,
    takes: type[P],
    *,
    needs: Permission | None,
    tag: str,
    summary: str,
    answers: type[Struct],
    problems: Sequence[Slug] = (),
    positioned: bool = True,
    cacheable: bool = False,
    admission: Admission | None = None,
    formats: Sequence[str] = (),
) -> Callable[[Callable[[QueryCall[P]], Awaitable[Response]]], Operation]:
    """Declare a query: the function gets the call once all checks have passed.

    `positioned` answers show a position, and wait for the one that the client asks for;
    `cacheable` ones have an entity tag, and are 304 if the client has that version. `admission`
    replaces the check for `needs`; `formats` are the media types, if not only JSON.
    """
    adapter, admitted = TypeAdapter(takes), admission or require_permission(needs)

    def declare(endpoint: Callable[[QueryCall[P]], Awaitable[Response]]) -> Operation:
        async def serve(services: Services, request: Request) -> Response:
            principal = await admitted(services, request)
            refuse_unacceptable(request, *formats)
            values = parameters(request, adapter)
            asked = min_position(request)
            at_least = max(asked, services.recent.position(principal.actor))
            return await endpoint(QueryCall(services, request, principal, values, at_least))

        headers = [POSITION] * positioned + ["ETag"] * cacheable
        takes_headers = [MIN_POSITION] * positioned + ["If-None-Match"] * cacheable
        slugs = (*_COMMON, *(_POSITIONED if positioned else ()), *problems)
        responses = {
            "200": openapi.answer(summary, answers, headers),
            **openapi.problem_answers(slugs),
        }
        if cacheable:
            responses["304"] = openapi.answer("The client has the current version.", None, headers)
        return Operation(
            method="GET",
            path=path,
            name=endpoint.__name__,
            tag=tag,
            summary=summary,
            status=200,
            serve=serve,
            answers=answers,
            document={
                **openapi.security(needs),
                "parameters": [
                    *openapi.path_parameters(path),
                    *openapi.query_parameters(adapter),
                    *openapi.header_parameters("X-Request-ID", *takes_headers),
                ],
                "responses": responses,
            },
        )

    return declare
