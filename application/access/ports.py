"""The ports of access: what callers present, and the sources that know the callers."""

from collections.abc import Collection, Mapping
from typing import Literal, Protocol

from msgspec import Struct

from application.identity import Principal


class Presented(Struct, frozen=True):
    """What a request carries: a bearer token, or the cookie of a session. `repr` hides it."""

    kind: Literal["bearer", "session"]
    secret: str

    def __repr__(self) -> str:
        return f"Presented(kind={self.kind!r})"


class CredentialSource(Protocol):
    """Credentials that are stored and can be revoked: tokens, sessions."""

    def credential(self, secret: str) -> str | None:
        """The credential of a secret; None if the secret has not the form. No I/O."""
        ...

    async def find(self, credentials: Collection[str]) -> Mapping[str, Principal]:
        """Those of these credentials that are valid now, by the database's clock.

        One short statement for all of them. Raises `Unavailable`.
        """
        ...

    async def used(self, credentials: Collection[str]) -> None:
        """Note that callers used these credentials within the last minute. Raises `Unavailable`.

        `Callers` calls it at most once a minute for each.
        """
        ...


class FixedToken(Protocol):
    """The token of the settings: it has no form, and cannot be revoked while the process runs."""

    def principal(self, token: str) -> Principal | None:
        """Its principal; None for any other token. No I/O, and in constant time."""
        ...


class BearerVerifier(Protocol):
    """Bearer tokens that prove themselves, such as JWTs."""

    def known(self, token: str) -> Principal | None:
        """The principal of a token that was verified before and has not expired. No I/O."""
        ...

    async def principal(self, token: str) -> Principal | None:
        """The principal; None if it is none of these tokens, or not valid.

        Raises `Unavailable` if that cannot be found out now.
        """
        ...
