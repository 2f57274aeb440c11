"""The unique values that a user holds."""

from collections.abc import Mapping
from typing import Literal

from domain.email import comparable_address
from domain.event import Erased
from domain.user.state import User

Scope = Literal["email", "external_id"]


def claims_of(user: User | None) -> Mapping[Scope, str]:
    """The values a user holds, by scope, in the form used for comparison.

    A deleted or erased user holds none. A command takes and releases the difference
    between the claims before and after it, which is always the net effect.
    """
    if user is None or user.status in ("deleted", "erased"):
        return {}
    claims: dict[Scope, str] = {}
    if not isinstance(user.email, Erased):
        claims["email"] = comparable_address(user.email)
    if not isinstance(user.external_id, Erased | None):
        claims["external_id"] = user.external_id
    return claims
