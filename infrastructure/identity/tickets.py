"""Tickets in Postgres: any process can redeem a ticket of any other; a used ticket is deleted."""

import hashlib
import secrets
from collections.abc import Sequence
from typing import Any, Final

from psycopg.rows import TupleRow

from application.context import TENANT
from application.identity import Principal
from application.live.tickets import TICKET_SECONDS, Ticket
from infrastructure.database import Database

_TOKEN_BYTES: Final = 32
_SECONDS: Final = 2.0

# Each issue also deletes a few expired tickets, without waiting for rows that others delete.
_ISSUE: Final = """
WITH old AS (
    DELETE FROM tickets WHERE (digest, tenant) IN (
        SELECT digest, tenant FROM tickets WHERE expires_at < now()
        LIMIT 100 FOR UPDATE SKIP LOCKED)
)
INSERT INTO tickets (tenant, digest, actor, permissions, name, kind, credential, parent,
                     caller_expires_at, expires_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, now() + make_interval(secs => %s)) RETURNING expires_at"""
_REDEEM: Final = """
DELETE FROM tickets WHERE digest = %s AND tenant = %s
RETURNING expires_at > now(), actor, permissions, name, kind, credential, parent, caller_expires_at"""


class PostgresTickets:
    """Stores a digest of each ticket, never the ticket; it expires by the server's clock."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def issue(self, principal: Principal) -> Ticket:
        ticket = secrets.token_urlsafe(_TOKEN_BYTES)
        values = (
            TENANT,
            digest(ticket),
            principal.actor,
            sorted(principal.permissions),
            principal.name,
            principal.kind,
            principal.credential,
            principal.parent,
            principal.expires_at,
            TICKET_SECONDS,
        )
        row = await self._row(_ISSUE, values)
        assert row is not None
        return Ticket(ticket, row[0])

    async def redeem(self, ticket: str) -> Principal | None:
        row = await self._row(_REDEEM, (digest(ticket), TENANT))
        if row is None:
            return None
        is_valid, actor, permissions, name, kind, credential, parent, expires_at = row
        if not is_valid:
            return None
        return Principal(
            actor=actor,
            permissions=frozenset(permissions),
            name=name,
            kind=kind,
            credential=credential,
            parent=parent,
            expires_at=expires_at,
        )

    async def _row(self, query: str, values: Sequence[Any]) -> TupleRow | None:
        async with self._database.connection(_SECONDS) as connection:
            cursor = await connection.execute(query, values)  # pyright: ignore[reportArgumentType]
            return await cursor.fetchone()


def digest(ticket: str) -> bytes:
    """The stored digest of a ticket: it cannot be guessed, so a plain hash is enough."""
    return hashlib.sha256(ticket.encode()).digest()
