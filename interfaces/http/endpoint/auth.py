"""Who sent a request, and whether they may."""

from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import Request

from application.identity import Identity, Permission, Principal
from interfaces.http.endpoint.services import Services
from interfaces.http.protocol.headers import header
from interfaces.http.protocol.refusals import Forbidden, InvalidToken, Unauthenticated

Admission = Callable[[Services, Request], Awaitable[Principal]]
"""Who sent a request; raises `Unauthenticated`, or `Forbidden` where this sender may not."""

ON_BEHALF_OF: Final = "Rollbook-On-Behalf-Of"

_PRINCIPAL: Final = "rollbook.principal"


def needing(permission: Permission | None) -> Admission:
    """Whoever has the permission; without one, whoever is known."""

    async def admission(services: Services, request: Request) -> Principal:
        return await admit(request, services.identity, permission)

    return admission


async def admit(request: Request, identity: Identity, needs: Permission | None) -> Principal:
    """The sender, who has the permission; raises `Unauthenticated` or `Forbidden`.

    Naming somebody in Rollbook-On-Behalf-Of needs users:write on every route.
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
    """Whoever was admitted with this request."""
    return request.scope.get(_PRINCIPAL)


def _bearer_token(request: Request) -> str:
    scheme, _, token = (header(request, "Authorization") or "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated
    return token
