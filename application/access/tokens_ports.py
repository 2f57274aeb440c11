"""The ports of tokens: which there are, which secret belongs to which, and when each was used."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from application.access.tokens_states import TokenAt


class HeldSecret(Struct, frozen=True):
    """The token that holds a credential, and the number of its secret (see `Token`)."""

    token: TokenAt
    secret: int


class Holders(Struct, frozen=True):
    """The tokens by credential, read up to `now`, a time of the database's clock."""

    now: datetime
    by_credential: Mapping[str, HeldSecret]


class TokenPage(Struct, frozen=True):
    """Tokens in the order of their ids; `next` is the last id if there are more."""

    tokens: Sequence[TokenAt]
    next: UUID | None


class TokenDirectory(Protocol):
    """The tokens in the log that are not revoked. Each method raises `Unavailable`.

    A token whose events cannot be read is left out, and logged with the reason; it breaks no other.
    """

    async def holders(self, credentials: Collection[str]) -> Holders:
        """The tokens that hold these credentials, also if they have expired.

        One short statement for each thousand, besides the events of tokens that changed since the
        last call.
        """
        ...

    async def page(self, after: UUID | None, limit: int) -> TokenPage:
        """Tokens with a later id, those that have expired too; None: from the first."""
        ...

    async def is_full(self) -> bool:
        """Whether there are `MAX_TOKENS` tokens. A few may be issued at the same moment."""
        ...


class TokenUses(Protocol):
    """When each token was last used, to about a minute. Each method raises `Unavailable`."""

    async def mark(self, tokens: Collection[UUID]) -> None:
        """They were used now."""
        ...

    async def last(self, tokens: Collection[UUID]) -> Mapping[UUID, datetime]:
        """The last use of each of these tokens that was used."""
        ...


class TokenSecrets(Protocol):
    def token_credential(self, secret: str) -> str:
        """What stands for a secret everywhere but in the caller's hands: `token:` and a MAC in
        hexadecimal digits. Nobody can use it as a secret.
        """
        ...

    def new_token_secret(self) -> str:
        """A secret that nobody can guess: see `domain.token.secret`."""
        ...
