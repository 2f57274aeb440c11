"""Sessions in Postgres: any process can check and end a session that another one started."""

import hashlib
import re
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from application.access.sessions import (
    IDLE_HOURS,
    SESSION_DAYS,
    NewSession,
    Session,
    StartedSession,
)
from application.context import TENANT
from application.identity import Principal
from infrastructure.database import Database

_SECONDS: Final = 2.0
_KIND: Final = "session:"
_SECRET_BYTES: Final = 32
_SECRET: Final = re.compile(r"[A-Za-z0-9_-]{43}")

_HERE: Final = Path(__file__).parent
_START: Final = (_HERE / "sessions_start.sql").read_bytes()
_FIND: Final = (_HERE / "sessions_find.sql").read_bytes()
_SEEN: Final = (_HERE / "sessions_seen.sql").read_bytes()
_PAGE: Final = (_HERE / "sessions_page.sql").read_bytes()
_END: Final = "DELETE FROM sessions WHERE tenant = %s AND digest = %s"
_END_ONE: Final = """
DELETE FROM sessions
WHERE tenant = %(tenant)s AND id = %(id)s AND (%(actor)s::text IS NULL OR actor = %(actor)s::text)
RETURNING digest"""
# A crash of the server loses the last use of a session, a minute of its twelve hours.
_SETTINGS: Final = b"SELECT set_config('synchronous_commit', 'off', true)"


class PostgresSessions:
    """See `SessionStore` and `SessionRecords`. The table has a digest of each secret.

    `fixed_token` is a MAC of the token of the settings. What another token of the settings started
    is not found.
    """

    def __init__(self, database: Database, fixed_token: bytes, new_id: Callable[[], UUID]) -> None:
        self._database = database
        self._fixed_token = fixed_token
        self._new_id = new_id

    async def start(self, session: NewSession, former: str | None) -> StartedSession:
        secret = new_secret()
        values = {
            **columns_of(session, self._fixed_token),
            "digest": digest_of(secret),
            "id": self._new_id(),
            "via": session.via,
            "days": SESSION_DAYS,
            "former": None if former is None else _digest_in(former),
        }
        async with self._database.connection(_SECONDS) as connection:
            row = await (await connection.execute(_START, values)).fetchone()
        assert row is not None
        return StartedSession(secret, row[0])

    async def end(self, credential: str) -> None:
        async with self._database.connection(_SECONDS) as connection:
            await connection.execute(_END, (TENANT, _digest_in(credential)))

    def credential(self, secret: str) -> str | None:
        return _credential(digest_of(secret)) if _SECRET.fullmatch(secret) else None

    async def find(self, credentials: Collection[str]) -> Mapping[str, Principal]:
        values = {**self._of(credentials), "fixed_token": self._fixed_token}
        found: dict[str, Principal] = {}
        for digest, actor, name, permissions, parent, expires_at in await self._database.rows(
            _FIND, values
        ):
            credential = _credential(digest)
            found[credential] = Principal(
                actor=actor,
                permissions=frozenset(permissions),
                name=name,
                kind="session",
                credential=credential,
                parent=parent,
                expires_at=expires_at,
            )
        return found

    async def used(self, credentials: Collection[str]) -> None:
        await self._database.rows(_SEEN, self._of(credentials), settings=_SETTINGS)

    async def page(self, actor: str | None, before: UUID | None, limit: int) -> Sequence[Session]:
        values = {
            "tenant": TENANT,
            "actor": actor,
            "before": before,
            "idle": IDLE_HOURS,
            "fixed_token": self._fixed_token,
            "limit": limit,
        }
        return [_session(*row) for row in await self._database.rows(_PAGE, values)]

    async def end_one(self, session_id: UUID, actor: str | None) -> str | None:
        values = {"tenant": TENANT, "id": session_id, "actor": actor}
        async with self._database.connection(_SECONDS) as connection:
            row = await (await connection.execute(_END_ONE, values)).fetchone()
        return None if row is None else _credential(row[0])

    def _of(self, credentials: Collection[str]) -> dict[str, Any]:
        digests = [_digest_in(each) for each in credentials]
        return {"tenant": TENANT, "digests": digests, "idle": IDLE_HOURS}


def new_secret() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def digest_of(secret: str) -> bytes:
    """The stored digest of a secret: it cannot be guessed, so a plain hash is enough."""
    return hashlib.sha256(secret.encode()).digest()


def columns_of(session: NewSession, fixed_token: bytes) -> dict[str, Any]:
    """What a session and its link store alike."""
    return {
        "tenant": TENANT,
        "actor": session.actor,
        "name": session.name,
        "permissions": sorted(session.permissions),
        "parent": session.parent,
        "fixed_token": fixed_token if session.by_fixed_token else None,
        "until": session.until,
    }


def _credential(digest: bytes) -> str:
    return f"{_KIND}{digest.hex()}"


def _digest_in(credential: str) -> bytes:
    return bytes.fromhex(credential.removeprefix(_KIND))


def _session(session_id: UUID, digest: bytes, *values: Any) -> Session:
    actor, name, via, created_at, last_seen_at, expires_at, parent = values
    return Session(
        id=session_id,
        credential=_credential(digest),
        actor=actor,
        name=name,
        via=via,
        created_at=created_at,
        last_seen_at=last_seen_at,
        expires_at=expires_at,
        parent=parent,
    )
