"""The commands of a token, from the request to the recorded events."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec import Struct

from application.access.tokens_ports import TokenDirectory, TokenPage, TokenSecrets, TokenUses
from application.access.tokens_states import TokenAt, after, folded
from application.context import Context
from application.errors import VersionConflict
from application.log.conflicts import Tries
from application.log.event_log import Appended, Draft, EventLog, StreamRange, type_of
from application.log.sealed import Sealed
from domain.errors import DomainError, TokenNotFound, TooManyTokens
from domain.token.claims import claim_changes
from domain.token.commands import IssueToken, RevokeToken, RotateToken, UseToken
from domain.token.decide import decide
from domain.token.events import TokenEvent, TokenRevoked
from domain.token.state import Token

KIND: Final = "token"
_LAST: Final = StreamRange(last_unopened=True)
_FIRST_USE: Final = "first-use"


class TokenOutcome(Struct, frozen=True):
    """The token after a command, and the position to pass to queries.

    `secret` is the new secret; None if an earlier attempt of the request made one, which is lost.
    """

    state: TokenAt
    position: int
    secret: str | None = None


class TokenService:
    """All commands of a token. A command loads, decides and appends, and repeats all of it after a
    version conflict.

    Contexts have no idempotency key: the answers to these commands are kept beside the log. Each
    command may be repeated. Each method raises `Contended`, `Overloaded`, `Unavailable` and
    `OutcomeUnknown`, and `TokenNotFound`.
    """

    def __init__(
        self, log: EventLog, directory: TokenDirectory, uses: TokenUses, secrets: TokenSecrets
    ) -> None:
        self._log = log
        self._directory = directory
        self._uses = uses
        self._secrets = secrets

    async def issue(self, token_id: UUID, command: IssueToken, context: Context) -> TokenOutcome:
        """Issue the token. One with this id that exists already is the outcome, without its secret.

        Raises `TokenExpiryPast`, `TooManyTokens`, and `TokenNotFound` if it is revoked already.
        """
        events = decide(None, command)
        if await self._directory.is_full():
            return await self._existing(token_id, TooManyTokens)
        secret = self._secrets.new_token_secret()
        try:
            appended = await self._append(token_id, 0, None, events, context, secret)
        except VersionConflict:
            return await self._existing(token_id, TokenNotFound)
        return TokenOutcome(_state(None, appended), appended.position, secret)

    async def rotate(self, token_id: UUID, command: RotateToken, context: Context) -> TokenOutcome:
        """Give the token a new secret. Raises `TokenExpired`."""
        tries = Tries()
        secret = self._secrets.new_token_secret()
        while True:
            state = await self.token(token_id)
            events = decide(state.config, command)
            if not events:
                return TokenOutcome(state, state.position)
            try:
                appended = await self._append(
                    token_id, state.version, state.config, events, context, secret
                )
            except VersionConflict:
                await tries.pause()
            else:
                return TokenOutcome(_state(state, appended), appended.position, secret)

    async def revoke(self, token_id: UUID, context: Context) -> int:
        """Revoke the token for good, also one that cannot be read. The position after it."""
        tries = Tries()
        while True:
            version, position, config = await self._last_event(token_id)
            events = decide(config, RevokeToken())
            if not events:
                return position
            try:
                return (await self._append(token_id, version, config, events, context)).position
            except VersionConflict:
                await tries.pause()

    async def record_first_use(self, token_id: UUID) -> None:
        """Record that the token was used, once for all processes."""
        tries = Tries()
        context = Context(actor=f"token:{token_id}", correlation_id=_FIRST_USE)
        while True:
            state = await self._loaded(token_id)
            events = decide(state.config, UseToken())
            if not events:
                return
            try:
                await self._append(token_id, state.version, state.config, events, context)
            except VersionConflict:
                await tries.pause()
            else:
                return

    async def token(self, token_id: UUID) -> TokenAt:
        """The token as it is now; one that is revoked is not found."""
        state = await self._loaded(token_id)
        if state.config.is_revoked:
            raise TokenNotFound
        return state

    async def tokens(self, after_id: UUID | None, limit: int) -> TokenPage:
        """A page of the tokens that are not revoked, the oldest first."""
        return await self._directory.page(after_id, limit)

    async def last_uses(self, tokens: Sequence[TokenAt]) -> Mapping[UUID, datetime]:
        """The last use of each of these tokens that was used, to about a minute."""
        return await self._uses.last([each.id for each in tokens])

    async def _loaded(self, token_id: UUID) -> TokenAt:
        events = (await self._log.load(token_id)).events
        state = folded(events) if events and events[0].kind == KIND else None
        if state is None:
            raise TokenNotFound
        return state

    async def _last_event(self, token_id: UUID) -> tuple[int, int, Token]:
        """Its version, its position, and what a revocation depends on: it needs no other event, so
        a token whose events cannot be read can be revoked.
        """
        events = (await self._log.load(token_id, _LAST)).events
        if not events or events[-1].kind != KIND:
            raise TokenNotFound
        last = events[-1]
        topic = last.event.type if isinstance(last.event, Sealed) else type_of(last.event)
        is_revoked = topic == TokenRevoked.topic
        config = Token(name="", permissions=(), expires_at=None, is_revoked=is_revoked)
        return last.version, last.position, config

    async def _existing(self, token_id: UUID, missing: type[DomainError]) -> TokenOutcome:
        """What an earlier attempt issued. Raises `missing` if there is no such token."""
        try:
            state = await self.token(token_id)
        except TokenNotFound:
            raise missing from None
        return TokenOutcome(state, state.position)

    async def _append(
        self,
        token_id: UUID,
        version: int,
        config: Token | None,
        events: tuple[TokenEvent, ...],
        context: Context,
        secret: str = "",
    ) -> Appended:
        """Record the one event of a command, with the claims that follow from it."""
        (event,) = events
        changes = claim_changes(config, event)
        draft = Draft(
            kind=KIND,
            stream=token_id,
            after_version=version,
            events=events,
            context=context,
            take=((changes.take, self._secrets.token_credential(secret)),) if changes.take else (),
            release=tuple((scope, None) for scope in changes.release),
        )
        return await self._log.append(draft)


def _state(state: TokenAt | None, appended: Appended) -> TokenAt:
    for recorded in appended.events:
        state = after(state, recorded)
    assert state is not None, "an append has events or a state before it"
    return state
