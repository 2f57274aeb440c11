"""Which unique values a user holds."""

from collections.abc import Mapping
from typing import Literal

from domain.user.state import User

Scope = Literal["email", "external_id"]


def claims_of(user: User | None) -> Mapping[Scope, str]:
    """The values a user holds, by scope, in the form in which they are compared.

    A deleted or erased user holds none. What a command takes and releases is the difference
    between the claims before and after it, so it is reduced to its net effect by construction.
    """
    raise NotImplementedError
