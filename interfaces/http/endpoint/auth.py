"""Authenticates the caller of a request and checks its permission."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from fastapi import Request
from msgspec import Struct
from starlette.types import Scope

from application.access.permissions import Need
from application.identity import PERMISSIONS, Permission, Principal
from interfaces.http.endpoint.services import Services
from interfaces.http.protocol.headers import header, is_visible_ascii
from interfaces.http.protocol.refusals import (
    Forbidden,
    InvalidRequest,
    InvalidToken,
    Unauthenticated,
)
from interfaces.http.protocol.session_cookie import SAFE_METHODS, refuse_cross_site
from interfaces.presented import presented_in

ON_BEHALF_OF: Final = "Rollbook-On-Behalf-Of"

_BEHALF_LIMIT: Final = 128
_PRINCIPAL: Final = "rollbook.principal"
_ANONYMOUS: Final = Principal(actor="system:anonymous", permissions=frozenset())


class Admission(Struct, frozen=True):
    """`admit` returns the sender, or raises `Unauthenticated` or `Forbidden`.

    `security` is the requirement in OpenAPI 3.1, which takes roles for any scheme: here, the
    permission. It is empty for operations that are open to everybody.
    """

    admit: Callable[[Services, Request], Awaitable[Principal]]
    security: Sequence[dict[str, list[str]]]


def require(permission: Permission | None) -> Admission:
    """Admit senders with the permission; with None, every known sender."""

    async def admitted(services: Services, request: Request) -> Principal:
        return await admit(services, request, permission)

    roles = [permission] if permission else []
    return Admission(admitted, [{scheme: roles} for scheme in ("bearer", "session")])


async def _anyone(_: Services, __: Request) -> Principal:
    return _ANONYMOUS


OPEN: Final = Admission(_anyone, [])


def admission_for(need: Need) -> Admission:
    """The admission of a need that the table alone decides."""
    if need == "open":
        return OPEN
    if need == "caller":
        return require(None)
    assert need in PERMISSIONS, "the operation declares how it admits callers"
    return require(need)


async def admit(services: Services, request: Request, needs: Permission | None) -> Principal:
    """The sender, if it has the permission; raises `Unauthenticated` or `Forbidden`.

    A browser sends the cookie of a session by itself: a change comes from our own pages. A value in Rollbook-On-Behalf-Of needs users:write on every route.
    """
    presented = presented_in(request.scope)
    if presented is None:
        raise Unauthenticated
    principal = caller_in(request.scope) or await services.callers.of(presented)
    if principal is None:
        raise InvalidToken
    note_caller(request.scope, principal)
    if presented.kind == "session" and request.method not in SAFE_METHODS:
        refuse_cross_site(request, services.public_url)
    if needs is not None and not principal.may(needs):
        raise Forbidden(needs)
    if header(request, ON_BEHALF_OF) is not None and not principal.may("users:write"):
        raise Forbidden("users:write")
    return principal


def note_caller(scope: Scope, caller: Principal) -> None:
    """Keep the caller with its request, for errors and metrics."""
    scope[_PRINCIPAL] = caller


def principal_of(request: Request) -> Principal | None:
    """The principal that was admitted with this request."""
    return caller_in(request.scope)


def caller_in(scope: Scope) -> Principal | None:
    """The caller of a request, as far as it is known."""
    return scope.get(_PRINCIPAL)


def on_behalf_of(request: Request) -> str | None:
    """The party for whom the sender asks. Raises `InvalidRequest`."""
    name = header(request, ON_BEHALF_OF)
    if name is not None and not is_visible_ascii(name, _BEHALF_LIMIT):
        detail = f"Must be 1 to {_BEHALF_LIMIT} visible ASCII characters."
        raise InvalidRequest.at(ON_BEHALF_OF, detail)
    return name
