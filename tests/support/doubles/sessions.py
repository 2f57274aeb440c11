"""In-memory sessions and sign-in links; they pass the same contract suite as the real ones."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from application.access.links import LINK_MINUTES, SignInLink
from application.access.sessions import (
    IDLE_HOURS,
    SESSION_DAYS,
    NewSession,
    Session,
    StartedSession,
)
from application.identity import Principal

_PREFIX = "cookie-"


class _Stored(Struct):
    session: Session
    principal: Principal


class InMemorySessions:
    """See `SessionStore` and `SessionRecords`."""

    def __init__(self, now: Callable[[], datetime], new_id: Callable[[], UUID]) -> None:
        self._now = now
        self._new_id = new_id
        self._stored: dict[str, _Stored] = {}

    async def start(self, session: NewSession, former: str | None) -> StartedSession:
        if former is not None:
            await self.end(former)
        session_id, now = self._new_id(), self._now()
        expires_at = now + timedelta(days=SESSION_DAYS)
        if session.until is not None:
            expires_at = min(expires_at, session.until)
        credential = f"session:{session_id.hex}"
        self._stored[credential] = _Stored(
            Session(
                id=session_id,
                credential=credential,
                actor=session.actor,
                name=session.name,
                via=session.via,
                created_at=now,
                last_seen_at=now,
                expires_at=expires_at,
                parent=session.parent,
            ),
            Principal(
                actor=session.actor,
                permissions=session.permissions,
                name=session.name,
                kind="session",
                credential=credential,
                parent=session.parent,
                expires_at=expires_at,
            ),
        )
        seconds = round((expires_at - now).total_seconds())
        return StartedSession(f"{_PREFIX}{session_id.hex}", seconds)

    async def end(self, credential: str) -> None:
        self._stored.pop(credential, None)

    def credential(self, secret: str) -> str | None:
        if not secret.startswith(_PREFIX):
            return None
        return f"session:{secret.removeprefix(_PREFIX)}"

    async def find(self, credentials: Collection[str]) -> Mapping[str, Principal]:
        living = {each.credential for each in self._living()}
        return {each: self._stored[each].principal for each in living.intersection(credentials)}

    async def used(self, credentials: Collection[str]) -> None:
        for session in self._living():
            if session.credential in credentials:
                stored = self._stored[session.credential]
                stored.session = replace(session, last_seen_at=self._now())

    async def page(self, actor: str | None, before: UUID | None, limit: int) -> Sequence[Session]:
        found = [
            each
            for each in self._living()
            if actor in (None, each.actor) and (before is None or each.id < before)
        ]
        return sorted(found, key=lambda each: each.id, reverse=True)[:limit]

    async def end_one(self, session_id: UUID, actor: str | None) -> str | None:
        for credential, stored in self._stored.items():
            if stored.session.id == session_id and actor in (None, stored.session.actor):
                await self.end(credential)
                return credential
        return None

    def _living(self) -> list[Session]:
        now = self._now()
        idle_since = now - timedelta(hours=IDLE_HOURS)
        sessions = [each.session for each in self._stored.values()]
        return [e for e in sessions if e.expires_at > now and e.last_seen_at > idle_since]


class InMemorySignInLinks:
    """See `SignInLinks`."""

    def __init__(self, now: Callable[[], datetime], new_id: Callable[[], UUID]) -> None:
        self._now = now
        self._new_id = new_id
        self._made: dict[str, tuple[NewSession, datetime]] = {}

    async def make(self, session: NewSession) -> SignInLink:
        code, expires_at = self._new_id().hex, self._now() + timedelta(minutes=LINK_MINUTES)
        if session.until is not None:
            expires_at = min(expires_at, session.until)
        self._made[code] = (replace(session, via="link"), expires_at)
        return SignInLink(code, expires_at)

    async def redeem(self, code: str) -> NewSession | None:
        session, expires_at = self._made.pop(code, (None, self._now()))
        return session if self._now() < expires_at else None
