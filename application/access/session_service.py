"""Starts sessions for callers that proved their identity, and ends them."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from msgspec import Struct

from application.access.links import SignInLink, SignInLinks
from application.access.ports import CredentialSource
from application.access.sessions import (
    NewSession,
    Session,
    SessionRecords,
    SessionStore,
    StartedSession,
    Via,
)
from application.identity import Principal

LOCAL: Final = "local:"


class SessionPage(Struct, frozen=True):
    """A page of sessions; the next one is of those before `next`, if that is not None."""

    items: Sequence[Session]
    next: UUID | None


class SessionService:
    """All methods raise `Unavailable`. `tokens` knows which parents of sessions are still valid.

    `former` is the secret of the session that the browser had before. A sign-in ends it: a session
    that somebody else prepared in the browser never becomes the person's.
    """

    def __init__(
        self,
        store: SessionStore,
        records: SessionRecords,
        links: SignInLinks,
        tokens: CredentialSource,
    ) -> None:
        self._store = store
        self._records = records
        self._links = links
        self._tokens = tokens

    async def start(self, caller: Principal, *, former: str | None) -> StartedSession:
        """A session with the actor, the name and the permissions of a token or an OIDC user.

        One of a token ends with the token.
        """
        via: Via = "oidc" if caller.kind == "oidc" else "token"
        return await self._start(_session_of(caller, via), former)

    async def link(self, caller: Principal, name: str) -> SignInLink:
        """A link to a session of `local:<name>` that ends with the caller's token."""
        session = _session_of(caller, "link", actor=f"{LOCAL}{name}", name=name)
        return await self._links.make(session)

    async def start_by_link(self, code: str, *, former: str | None) -> StartedSession | None:
        """The session of a link; None if the code is not valid, or the link's token has ended."""
        session = await self._links.redeem(code)
        if session is None:
            return None
        if session.parent is not None and not await self._tokens.find([session.parent]):
            return None
        return await self._start(session, former)

    async def end(self, secret: str) -> str | None:
        """End the session with this secret, if there is one; its credential."""
        credential = self._store.credential(secret)
        if credential is not None:
            await self._store.end(credential)
        return credential

    async def page(self, actor: str | None, *, before: UUID | None, limit: int) -> SessionPage:
        """The sessions of an actor, or of all, the newest first; a page may have few items."""
        found = await self._records.page(actor, before, limit + 1)
        page = found[:limit]
        parents = {each.parent for each in page if each.parent is not None}
        ended = parents - (await self._tokens.find(parents)).keys() if parents else parents
        return SessionPage(
            items=[each for each in page if each.parent not in ended],
            next=page[-1].id if len(found) > limit else None,
        )

    async def end_one(self, session_id: UUID, actor: str | None) -> str | None:
        """End a session; its credential, None if this actor (None: any) has no such session."""
        return await self._records.end_one(session_id, actor)

    async def _start(self, session: NewSession, former: str | None) -> StartedSession:
        ending = None if former is None else self._store.credential(former)
        return await self._store.start(session, ending)


def _session_of(
    caller: Principal, via: Via, *, actor: str | None = None, name: str | None = None
) -> NewSession:
    return NewSession(
        actor=actor or caller.actor,
        permissions=caller.permissions,
        name=name or caller.name,
        via=via,
        parent=caller.credential,
        by_fixed_token=caller.kind == "token" and caller.credential is None,
        # An ID token expires within minutes: it proves the identity once.
        until=None if via == "oidc" else caller.expires_at,
    )
