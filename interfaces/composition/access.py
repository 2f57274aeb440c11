"""Builds what finds the callers and signs people in: the token of the settings, and the sources of
stored credentials.
"""

from typing import Final

from msgspec import Struct
from uuid_utils.compat import uuid7

from application.access.callers import Callers
from application.access.ports import BearerVerifier
from application.access.session_service import SessionService
from infrastructure.identity.admin_token import AdminToken
from infrastructure.identity.links import PostgresSignInLinks
from infrastructure.identity.sessions import PostgresSessions
from interfaces.composition.shared import Parts
from interfaces.composition.tokens import token_credentials

_FIXED_TOKEN: Final = b"\x00admin-token\x00"


class Access(Struct, frozen=True, kw_only=True):
    """The callers that the processes of this log know, and the sessions of people."""

    callers: Callers
    sessions: SessionService


def access_of(parts: Parts, jwts: BearerVerifier | None) -> Access:
    """The sources of tokens and sessions, shared by all that asks them."""
    admin_token, keys = parts.settings.need("admin_token"), parts.store.keys
    tokens = token_credentials(parts.store)
    fixed_token = keys.mac(_FIXED_TOKEN + admin_token.encode())
    sessions = PostgresSessions(parts.database, fixed_token, uuid7)
    links = PostgresSignInLinks(parts.database, fixed_token)
    return Access(
        callers=Callers(fixed=AdminToken(admin_token), tokens=tokens, sessions=sessions, jwts=jwts),
        sessions=SessionService(sessions, sessions, links, tokens),
    )
