"""One operation of the API: how it is routed, served and described, declared in one place."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from msgspec import Struct
from pydantic import TypeAdapter
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from interfaces.http.endpoint.services import Services


class Operation(Struct, frozen=True, kw_only=True):
    """`document` is the operation in OpenAPI, which refers to `body` and `answers` by name."""

    method: str
    path: str
    name: str
    tag: str
    summary: str
    status: int
    serve: Callable[[Services, Request], Awaitable[Response]]
    document: dict[str, Any]
    body: TypeAdapter[Any] | None = None
    answers: type[Struct] | None = None


class _Route(APIRoute):
    """Calls the endpoint with the request and nothing else.

    Parameters and bodies are read in the order that the contract fixes, which FastAPI's own
    dependencies do not keep; without them, a request also has half the overhead.
    """

    def __init__(self, path: str, endpoint: Callable[[Request], Awaitable[Response]], **rest: Any):
        super().__init__(path, endpoint, **rest)
        # Without FastAPI's dependency stacks, which are not used; errors are answered further
        # out, where all of them arrive.
        self.app = _application(endpoint)


def _application(endpoint: Callable[[Request], Awaitable[Response]]) -> ASGIApp:
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
            _endpoint(operation, services),
            methods=[operation.method],
            operation_id=operation.name,
            tags=[operation.tag],
            summary=operation.summary,
            status_code=operation.status,
            response_class=Response,
            response_model=None,
            openapi_extra=operation.document,
        )


def methods_at(request: Request) -> list[str]:
    """The methods of all routes for this path."""
    app: FastAPI = request.app
    methods: set[str] = set()
    for route in app.routes:
        if isinstance(route, APIRoute) and route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)


def _endpoint(operation: Operation, services: Services) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return await operation.serve(services, request)

    return endpoint
