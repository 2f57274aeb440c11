"""Finds the callers that present tokens, and notes when each token was used."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Final
from uuid import UUID

from structlog import get_logger

from application.access.tokens import TokenService
from application.access.tokens_ports import HeldSecret, TokenDirectory, TokenSecrets, TokenUses
from application.errors import ApplicationError
from application.failures import describe
from application.identity import PERMISSIONS, Permission, Principal
from domain.errors import TokenNotFound
from domain.token.secret import is_well_formed

# As many first uses share a commit of the log, and leave its queue to commands.
_AT_ONCE: Final = 50

log = get_logger(__name__)


class TokenCredentials:
    """See `CredentialSource`."""

    def __init__(
        self,
        secrets: TokenSecrets,
        directory: TokenDirectory,
        uses: TokenUses,
        commands: TokenService,
    ) -> None:
        self._secrets = secrets
        self._directory = directory
        self._uses = uses
        self._commands = commands

    def credential(self, secret: str) -> str | None:
        return self._secrets.token_credential(secret) if is_well_formed(secret) else None

    async def find(self, credentials: Collection[str]) -> Mapping[str, Principal]:
        found = await self._directory.holders(credentials)
        return {
            credential: _principal(credential, held)
            for credential, held in found.by_credential.items()
            if held.token.config.accepts(held.secret, found.now)
        }

    async def used(self, credentials: Collection[str]) -> None:
        """A first use that cannot be recorded now is recorded with the next use."""
        held = (await self._directory.holders(credentials)).by_credential.values()
        tokens = {each.token.id: each.token for each in held}
        await self._uses.mark(tokens)
        first = [each.id for each in tokens.values() if not each.config.is_used]
        for begin in range(0, len(first), _AT_ONCE):
            some = first[begin : begin + _AT_ONCE]
            await asyncio.gather(*(self._record_first_use(each) for each in some))

    async def _record_first_use(self, token: UUID) -> None:
        """One token that fails keeps no other from it."""
        try:
            await self._commands.record_first_use(token)
        except (ApplicationError, TokenNotFound) as error:
            log.warning("token_first_use_waits", token=str(token), error=describe(error))


def _principal(credential: str, held: HeldSecret) -> Principal:
    """The permissions that a later release adds are none here."""
    config = held.token.config
    return Principal(
        actor=f"token:{held.token.id}",
        permissions=frozenset(permissions_of(config.permissions)),
        name=config.name,
        kind="token",
        credential=credential,
        expires_at=config.ends_at(held.secret),
    )


def permissions_of(names: Collection[str]) -> tuple[Permission, ...]:
    """Those of the names that this release knows, in the order of the contract."""
    return tuple(permission for permission in PERMISSIONS if permission in names)
