"""In-memory tokens for tests, over the log in memory."""

import os
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from application.access.tokens import KIND, TokenService
from application.access.tokens_credentials import TokenCredentials
from application.access.tokens_ports import HeldSecret, Holders, TokenPage
from application.access.tokens_states import TokenAt, folded
from domain.token.claims import MAX_TOKENS, SCOPES, secret_in
from infrastructure.keys import MasterKeyRing, MasterKeys
from tests.support.doubles.event_log import InMemoryEventLog
from tests.support.servers.postgres import MASTER_KEYS

Clock = Callable[[], datetime]
_ALL: Final = 10**9


def utc_now() -> datetime:
    return datetime.now(UTC)


class InMemoryTokenDirectory:
    """See `TokenDirectory`."""

    def __init__(self, log: InMemoryEventLog, clock: Clock = utc_now) -> None:
        self._log = log
        self._clock = clock

    async def holders(self, credentials: Collection[str]) -> Holders:
        held: dict[str, HeldSecret] = {}
        for credential in credentials:
            for scope in SCOPES:
                stream = await self._log.holder_of(scope, credential)
                if stream is not None and (token := await self._token(stream)) is not None:
                    held[credential] = HeldSecret(token, secret_in(scope, token.config))
        return Holders(self._clock(), held)

    async def page(self, after: UUID | None, limit: int) -> TokenPage:
        found = [each for each in await self._living() if after is None or each.id > after]
        return TokenPage(found[:limit], found[limit - 1].id if len(found) > limit else None)

    async def is_full(self) -> bool:
        return len(await self._living()) >= MAX_TOKENS

    async def _living(self) -> list[TokenAt]:
        events = (await self._log.read(0, _ALL)).events
        ids = sorted({each.stream for each in events if each.kind == KIND})
        tokens = [await self._token(each) for each in ids]
        return [each for each in tokens if each is not None and not each.config.is_revoked]

    async def _token(self, stream: UUID) -> TokenAt | None:
        return folded((await self._log.load(stream)).events)


class InMemoryTokenUses:
    """See `TokenUses`."""

    def __init__(self, clock: Clock = utc_now) -> None:
        self._clock = clock
        self._last: dict[UUID, datetime] = {}

    async def mark(self, tokens: Collection[UUID]) -> None:
        self._last.update(dict.fromkeys(tokens, self._clock()))

    async def last(self, tokens: Collection[UUID]) -> Mapping[UUID, datetime]:
        return {each: self._last[each] for each in tokens if each in self._last}


class MemoryTokens:
    """The commands of the tokens of a log, and the source of their callers; with secrets of its own."""

    def __init__(self, log: InMemoryEventLog, clock: Clock = utc_now) -> None:
        directory, uses = InMemoryTokenDirectory(log, clock), InMemoryTokenUses(clock)
        secrets = MasterKeyRing(MasterKeys.parse(MASTER_KEYS), os.urandom(32))
        self.commands = TokenService(log, directory, uses, secrets)
        self.callers = TokenCredentials(secrets, directory, uses, self.commands)
