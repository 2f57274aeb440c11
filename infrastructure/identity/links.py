"""One-use sign-in links in Postgres: any process can redeem a link of any other."""

from pathlib import Path
from typing import Final

from application.access.links import LINK_MINUTES, SignInLink
from application.access.sessions import NewSession
from application.context import TENANT
from infrastructure.database import Database
from infrastructure.identity.sessions import columns_of, digest_of, new_secret

_SECONDS: Final = 2.0

_HERE: Final = Path(__file__).parent
_MAKE: Final = (_HERE / "links_make.sql").read_bytes()
_REDEEM: Final = (_HERE / "links_redeem.sql").read_bytes()


class PostgresSignInLinks:
    """See `SignInLinks`; `fixed_token` as in `PostgresSessions`. The table has digests of codes."""

    def __init__(self, database: Database, fixed_token: bytes) -> None:
        self._database = database
        self._fixed_token = fixed_token

    async def make(self, session: NewSession) -> SignInLink:
        code = new_secret()
        values = {
            **columns_of(session, self._fixed_token),
            "digest": digest_of(code),
            "minutes": LINK_MINUTES,
        }
        async with self._database.connection(_SECONDS) as connection:
            row = await (await connection.execute(_MAKE, values)).fetchone()
        assert row is not None
        return SignInLink(code, row[0])

    async def redeem(self, code: str) -> NewSession | None:
        values = {"tenant": TENANT, "digest": digest_of(code), "fixed_token": self._fixed_token}
        async with self._database.connection(_SECONDS) as connection:
            row = await (await connection.execute(_REDEEM, values)).fetchone()
        if row is None:
            return None
        actor, name, permissions, parent, fixed_token, until, is_valid = row
        if not is_valid:
            return None
        return NewSession(
            actor=actor,
            permissions=frozenset(permissions),
            name=name,
            via="link",
            parent=parent,
            by_fixed_token=fixed_token is not None,
            until=until,
        )
