"""The unique values that a user holds."""

from collections.abc import Mapping
from typing import Final, Literal, get_args

from domain.email import comparable_address
from domain.event import Erased
from domain.user.state import User

Scope = Literal["email", "external_id"]
_SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)


def claims_of(user: User | None) -> Mapping[Scope, str]:
    """The values a user holds, by scope, in the form used for comparison.

    A deleted or erased user holds none. A value that cannot be read is left out.
    """
    if user is None or user.status in ("deleted", "erased"):
        return {}
    claims: dict[Scope, str] = {}
    if not isinstance(user.email, Erased):
        claims["email"] = comparable_address(user.email)
    if not isinstance(user.external_id, Erased | None):
        claims["external_id"] = user.external_id
    return claims


def taken(before: User | None, after: User | None) -> Mapping[Scope, str]:
    """The claims that a change takes: those that the user did not hold before."""
    held = claims_of(before)
    return {scope: value for scope, value in claims_of(after).items() if held.get(scope) != value}


def released(before: User | None, after: User | None) -> Mapping[Scope, str | None]:
    """The scopes that a change gives up, with the value if it can be read.

    A user that becomes deleted or erased gives up every scope, whether or not the values can be
    read: otherwise an address whose key is lost would stay taken for ever.
    """
    held, holds = claims_of(before), claims_of(after)
    if before is None or before.status in ("deleted", "erased"):
        return {}
    if after is not None and after.status in ("deleted", "erased"):
        return {scope: held.get(scope) for scope in _SCOPES}
    return {scope: value for scope, value in held.items() if holds.get(scope) != value}
