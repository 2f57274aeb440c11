"""Authenticates the sender of a request and checks its permission."""

from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import Request

from application.identity import Identity, Permission, Principal
from interfaces.http.endpoint.services import Services
from interfaces.http.protocol.headers import header
from interfaces.http.protocol.refusals import Forbidden, InvalidToken, Unauthenticated

Admission = Callable[[Services, Request], Awaitable[Principal]]
"""The sender of a request; raises `Unauthenticated`, or `Forbidden` if it may not."""

ON_BEHALF_OF: Final = "Rollbook-On-Behalf-Of"

_PRINCIPAL: Final = "rollbook.principal"


def require_permission(permission: Permission | None) -> Admission:
    """Admit senders with the permission; with None, every known sender."""

    async def admission(services: Services, request: Request) -> Principal:
        return await admit(request, services.identity, permission)

    return admission


async def admit(request: Request, identity: Identity, needs: Permission | None) -> Principal:
    """The sender, if it has the permission; raises `Unauthenticated` or `Forbidden`.

    A value in Rollbook-On-Behalf-Of needs users:write on every route.
    """
    principal = await identity.principal(_bearer_token(request))
    if principal is None:
        raise InvalidToken
    request.scope[_PRINCIPAL] = principal
    if needs is not None and not principal.may(needs):
        raise Forbidden(needs)
    if header(request, ON_BEHALF_OF) is not None and not principal.may("users:write"):
        raise Forbidden("users:write")
    return principal


def principal_of(request: Request) -> Principal | None:
    """The principal that was admitted with this request."""
    return request.scope.get(_PRINCIPAL)


def _bearer_token(request: Request) -> str:
    scheme, _, token = (header(request, "Authorization") or "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated
    return token
