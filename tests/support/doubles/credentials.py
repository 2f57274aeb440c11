"""Credentials in memory, for tests of callers and of what they may do."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from msgspec.structs import replace

from application.errors import Unavailable
from application.identity import Principal


class InMemoryCredentials:
    """See `CredentialSource`: the secrets are those that `add` was called with, without dots."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._principals: dict[str, Principal] = {}
        self.searches: list[frozenset[str]] = []
        self.reported: list[frozenset[str]] = []
        self.is_away = False

    def add(self, secret: str, principal: Principal) -> Principal:
        """The principal as callers get it: with the credential of the secret."""
        credential = f"{self._kind}:{secret.encode().hex()}"
        self._principals[credential] = replace(principal, credential=credential)
        return self._principals[credential]

    def revoke(self, secret: str) -> None:
        del self._principals[f"{self._kind}:{secret.encode().hex()}"]

    def credential(self, secret: str) -> str | None:
        has_form = secret.isascii() and "." not in secret
        return f"{self._kind}:{secret.encode().hex()}" if has_form else None

    async def find(self, credentials: Collection[str]) -> Mapping[str, Principal]:
        self._answer()
        self.searches.append(frozenset(credentials))
        now = datetime.now(UTC)
        found = {each: self._principals[each] for each in credentials if each in self._principals}
        return {
            each: principal
            for each, principal in found.items()
            if principal.expires_at is None or now < principal.expires_at
        }

    async def used(self, credentials: Collection[str]) -> None:
        self._answer()
        self.reported.append(frozenset(credentials))

    def _answer(self) -> None:
        if self.is_away:
            raise Unavailable
