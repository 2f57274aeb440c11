"""The transactions that hold locks on tables, which a migration waits for without a lock."""

from typing import Final, Self

import psycopg
from msgspec import Struct

# Short transactions come and go, so a transaction is known by its virtual id, not by its session.
_HOLDERS: Final = """
SELECT DISTINCT l.pid, l.virtualtransaction FROM pg_locks l
WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.relation IN (SELECT oid FROM pg_class WHERE relnamespace = current_schema()::regnamespace)"""
_NAMES: Final = """
SELECT DISTINCT pid, coalesce(nullif(application_name, ''), 'unnamed')
FROM pg_stat_activity WHERE pid = ANY (%s) ORDER BY pid LIMIT 5"""


class LockHolders(Struct, frozen=True):
    """Transactions: the process id of the session, and the transaction's virtual id."""

    transactions: frozenset[tuple[int, str]]

    @classmethod
    def now(cls, session: psycopg.Connection) -> Self:
        rows = session.execute(_HOLDERS).fetchall()
        return cls(frozenset((pid, transaction) for pid, transaction in rows))

    def __bool__(self) -> bool:
        return bool(self.transactions)

    def still(self, session: psycopg.Connection) -> Self:
        """Those of them that still hold a lock."""
        return type(self)(self.transactions & self.now(session).transactions)

    def names(self, session: psycopg.Connection) -> str:
        """Such as `pid 4711 (pg_dump)`."""
        rows = session.execute(_NAMES, ([pid for pid, _ in self.transactions],)).fetchall()
        return ", ".join(f"pid {pid} ({name})" for pid, name in rows) or "a session that has ended"
