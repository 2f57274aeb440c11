"""Routes to operations, and the checks of a request in the order of the contract."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from starlette.types import ASGIApp, Receive, Scope, Send

from interfaces.http.endpoint.auth import ON_BEHALF_OF, on_behalf_of
from interfaces.http.endpoint.call import Call, Nothing
from interfaces.http.endpoint.operation import Operation
from interfaces.http.endpoint.repeats import once
from interfaces.http.endpoint.services import Services
from interfaces.http.protocol.body import parse_body, read_body
from interfaces.http.protocol.consistency import min_position
from interfaces.http.protocol.idempotency import IDEMPOTENCY_KEY, idempotency_key
from interfaces.http.protocol.negotiation import refuse_unacceptable
from interfaces.http.protocol.preconditions import IF_MATCH, precondition
from interfaces.http.protocol.validation import both, fields, parameters

Endpoint = Callable[[Request], Awaitable[Response]]

T = TypeVar("T")

_NOTHING: Final = Nothing()
# To check as much takes less than half a millisecond.
_SMALL_BYTES: Final = 2048


class _Route(APIRoute):
    """Calls the endpoint with the request and nothing else.

    Parameters and bodies are read in the order that the contract fixes, which FastAPI's own
    dependencies do not keep; without them, a request also has half the overhead.
    """

    def __init__(self, path: str, endpoint: Endpoint, **rest: Any):
        super().__init__(path, endpoint, **rest)
        # Without FastAPI's dependency stacks, which are not used; errors are answered further
        # out, where all of them arrive.
        self.app = _application(endpoint)


def _application(endpoint: Endpoint) -> ASGIApp:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)

    return application


def mount(app: FastAPI, services: Services, operations: Sequence[Operation]) -> None:
    """Route the operations; each finds the services it was mounted with."""
    app.router.route_class = _Route
    for operation in operations:
        app.add_api_route(
            operation.path,
            _query(operation, services)
            if operation.body is None
            else _command(operation, operation.body, services),
            methods=[operation.method],
            operation_id=operation.name,
            tags=[operation.tag],
            summary=operation.summary,
            description=operation.description,
            status_code=operation.status,
            response_class=Response,
            response_model=None,
        )


def _query(operation: Operation, services: Services) -> Endpoint:
    admit, endpoint = operation.admission.admit, operation.endpoint
    formats, takes = operation.formats, operation.takes

    async def query(request: Request) -> Response:
        principal = await admit(services, request)
        refuse_unacceptable(request, formats)
        values, at_least = None, 0
        if takes is not None:
            values = await _in_turn(services, request, b"", partial(parameters, request, takes))
            at_least = max(min_position(request), services.recent.position(principal.actor))
        return await endpoint(Call(services, request, principal, values, _NOTHING, at_least))

    return query


async def _in_turn(services: Services, request: Request, body: bytes, check: Callable[[], T]) -> T:
    """Check a small request at once, and a large one in its turn."""
    if len(body) + len(request.scope["query_string"]) <= _SMALL_BYTES:
        return check()
    return await services.turns.run(check)


def _command(operation: Operation, body: TypeAdapter[Any], services: Services) -> Endpoint:
    admit, endpoint = operation.admission.admit, operation.endpoint
    takes, required = operation.takes, operation.body_required
    is_conditional, is_recorded, has_key = (
        name in operation.headers for name in (IF_MATCH, ON_BEHALF_OF, IDEMPOTENCY_KEY)
    )

    async def command(request: Request) -> Response:
        principal = await admit(services, request)
        refuse_unacceptable(request, operation.formats)
        raw = await read_body(request, operation.accepts, required=required)

        def checked() -> Call[Any, Any]:
            condition = precondition(request) if is_conditional else None
            value = parse_body(raw, required=required)
            values, (members, (behalf, key)) = both(
                lambda: takes and parameters(request, takes),
                lambda: both(
                    lambda: fields(body, value),
                    lambda: both(
                        lambda: on_behalf_of(request) if is_recorded else None,
                        lambda: idempotency_key(request, raw) if has_key else None,
                    ),
                ),
            )
            return Call(services, request, principal, values, members, 0, condition, behalf, key)

        call = await _in_turn(services, request, raw, checked)
        return await (once(operation, call) if operation.has_kept_answer else endpoint(call))

    return command
