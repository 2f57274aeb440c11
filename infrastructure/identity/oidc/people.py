"""From the claims of a checked token to the principal that they describe."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from application.access.oidc_permissions import PermissionsClaim
from application.identity import Permission, Principal
from domain.errors import InvalidValue
from domain.values import PersonName

_MAX_SUBJECT: Final = 128
_NAMES: Final = ("name", "preferred_username")


def principal_of(
    claims: Mapping[str, Any], permissions: PermissionsClaim | None
) -> Principal | None:
    """None if the subject is not 1 to 128 visible ASCII characters: events record it as the actor.

    Without a claim for permissions the principal has none: it is known, and may see itself.
    """
    subject: object = claims.get("sub")
    expires_at = _expiry(claims.get("exp"))
    if not isinstance(subject, str) or not _is_actor(subject) or expires_at is None:
        return None
    granted: frozenset[Permission] = permissions.granted(claims) if permissions else frozenset()
    return Principal(
        actor=f"user:{subject}",
        permissions=granted,
        name=_name(claims),
        kind="oidc",
        expires_at=expires_at,
    )


def _is_actor(subject: str) -> bool:
    return 1 <= len(subject) <= _MAX_SUBJECT and all("!" <= each <= "~" for each in subject)


def _expiry(seconds: object) -> datetime | None:
    """None for a time that no calendar has."""
    if not isinstance(seconds, int | float):
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _name(claims: Mapping[str, Any]) -> str | None:
    """The first that is acceptable as a name."""
    for claim in _NAMES:
        name: object = claims.get(claim)
        if isinstance(name, str):
            try:
                return PersonName.parse(name).text
            except InvalidValue:
                continue
    return None
