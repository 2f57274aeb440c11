"""Builds what finds the callers: the token of the settings, then the sources of stored credentials."""

from collections.abc import Collection, Mapping

from application.access.callers import Callers
from application.access.ports import BearerVerifier
from application.identity import Principal
from infrastructure.identity.admin_token import AdminToken
from interfaces.composition.shared import Parts


class _NoCredentials:
    """See `CredentialSource`: there are none of this kind."""

    def credential(self, secret: str) -> str | None:
        return None

    async def find(self, credentials: Collection[str]) -> Mapping[str, Principal]:
        return {}

    async def used(self, credentials: Collection[str]) -> None:
        return None


def callers_of(parts: Parts, jwts: BearerVerifier | None) -> Callers:
    """The callers that the processes of this log know."""
    return Callers(
        fixed=AdminToken(parts.settings.need("admin_token")),
        tokens=_NoCredentials(),
        sessions=_NoCredentials(),
        jwts=jwts,
    )
