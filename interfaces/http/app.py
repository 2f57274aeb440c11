"""The HTTP application: the operations, the rules they share, and the pages that describe them."""

from functools import cache
from typing import Final

import msgspec
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.types import Receive, Scope, Send

from domain.errors import DomainError
from interfaces.http.endpoint.document import document
from interfaces.http.endpoint.edges import Edges
from interfaces.http.endpoint.errors import answer_error, problem
from interfaces.http.endpoint.limits import RequestLimits
from interfaces.http.endpoint.middleware import CommonRules
from interfaces.http.endpoint.operation import Operation, operations_of
from interfaces.http.endpoint.proxies import TrustedProxies
from interfaces.http.endpoint.routing import mount
from interfaces.http.endpoint.services import Services
from interfaces.http.protocol.refusals import Refusal
from interfaces.http.routes import (
    audit,
    erasures,
    events,
    exports,
    health,
    jobs,
    metrics,
    oidc_login,
    overview,
    parked,
    projections,
    reactions,
    relay,
    sessions,
    signin,
    tickets,
    tokens,
    users,
    webhook_commands,
    webhook_deliveries,
    webhooks,
)
from interfaces.http.routes.console import add_console
from interfaces.http.routes.docs import add_pages

_DENIAL: Final = "websocket.http.response"

_ROUTES: Final = (
    users,
    erasures,
    audit,
    events,
    tickets,
    exports,
    jobs,
    overview,
    parked,
    projections,
    reactions,
    relay,
    webhooks,
    webhook_commands,
    webhook_deliveries,
    signin,
    oidc_login,
    sessions,
    tokens,
    health,
    metrics,
)
OPERATIONS: Final[tuple[Operation, ...]] = tuple(
    operation for module in _ROUTES for operation in operations_of(module)
)


def create_app(services: Services) -> FastAPI:
    """The application over its services, which must be open already and outlive it.

    It opens no connections and reads no settings.
    """
    proxies: list[Middleware] = []
    if services.trusted_proxies:
        proxies.append(Middleware(TrustedProxies, networks=services.trusted_proxies))
    limits: list[Middleware] = []
    if services.limits is not None:
        limits.append(Middleware(RequestLimits, limits=services.limits, callers=services.callers))
    app = FastAPI(
        # Pages, errors and slashes are ours: FastAPI's would load from elsewhere or redirect.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Query strings and exception messages, which it would record, may hold personal data.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        exception_handlers=dict.fromkeys((DomainError, Refusal, HTTPException), answer_error),
        middleware=[
            *proxies,
            Middleware(
                CommonRules,
                version=services.version,
                new_id=services.new_id,
                telemetry=services.telemetry,
                origins=services.origins,
            ),
            Middleware(Edges, origins=services.origins),
            *limits,
        ],
    )
    mount(app, services, OPERATIONS)
    default_route = app.router.default

    async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
        # By default, a WebSocket is refused without a problem.
        if scope["type"] == "websocket" and _DENIAL in scope.get("extensions", {}):
            await problem("not-found", "Not found.")(scope, receive, send)
        else:
            await default_route(scope, receive, send)

    app.router.default = not_found

    @cache
    def description() -> bytes:
        return msgspec.json.encode(document(app, OPERATIONS, services.version))

    add_pages(app, description)
    add_console(app)
    return app
