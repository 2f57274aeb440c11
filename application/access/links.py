"""One-use links that sign a person in, with the permissions of the token that made them."""

import re
from datetime import datetime
from typing import Final, Protocol

from msgspec import Struct

from application.access.sessions import NewSession
from domain.errors import InvalidValue

LINK_MINUTES: Final = 10
MAX_NAME_LENGTH: Final = 64

# Visible ASCII without the colon, which ends the kind of an actor, such as `local:`.
_NAME: Final = re.compile(r"[!-9;-~]{1,64}")
_FOREIGN: Final = re.compile(r"[^!-9;-~]+")
_NAMELESS: Final = "console"


class SignInLink(Struct, frozen=True):
    """The code of a link; `repr` leaves it out."""

    code: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"SignInLink(expires_at={self.expires_at!r})"


class SignInLinks(Protocol):
    """A link stands for the session that it starts, once, within `LINK_MINUTES`."""

    async def make(self, session: NewSession) -> SignInLink:
        """A new link, which ends no later than the session would. Raises `Unavailable`."""
        ...

    async def redeem(self, code: str) -> NewSession | None:
        """The session to start; None if the code is unknown, expired or used.

        If two calls come at the same moment, one gets it. Raises `Unavailable`.
        """
        ...


def parse_local_name(text: str) -> str:
    """The name of a person who signs in with a link. Raises `InvalidValue`."""
    if _NAME.fullmatch(text) is None:
        raise InvalidValue(
            f"Must be 1 to {MAX_NAME_LENGTH} visible ASCII characters without a colon or a space."
        )
    return text


def local_name_from(text: str | None) -> str:
    """A valid name like this one: other characters become a hyphen."""
    return _FOREIGN.sub("-", text or "").strip("-")[:MAX_NAME_LENGTH] or _NAMELESS
