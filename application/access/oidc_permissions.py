"""Which permissions the claims of a JWT give: what `ROLLBOOK_OIDC_PERMISSIONS_CLAIM` says."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Self, cast

from msgspec import Struct

from application.identity import PERMISSIONS, PRESETS, Permission

Claims = Mapping[str, Any]
Granted = Mapping[str, frozenset[Permission]]

# `admin` is both; the preset has all permissions.
_BY_NAME: Final[Granted] = {
    **{permission: frozenset({permission}) for permission in PERMISSIONS},
    **PRESETS,
}
_FORM: Final = "must be like `groups` or `groups: platform-admins=admin, hr=users:read+users:write`"
# A colon and a space, so that the name of a claim may be a URL.
_SEPARATOR: Final = re.compile(r":\s+")
_COMMA: Final = re.compile(r"(?<!\\),")


class PermissionsClaim(Struct, frozen=True):
    """The claim, and the permissions that each of its values gives; other values give none."""

    claim: str
    by_value: Granted

    @classmethod
    def parse(cls, text: str) -> Self:
        """From `claim` (its values are permissions or presets) or `claim: value=name+name, …`.

        A comma in a value is written as `\\,`. Raises `ValueError`.
        """
        claim, *mapped = _SEPARATOR.split(text.strip(), maxsplit=1)
        if not claim or (not mapped and _is_unclear(claim)):
            raise ValueError(_FORM)
        if not mapped:
            return cls(claim, _BY_NAME)
        by_value: dict[str, frozenset[Permission]] = {}
        for entry in _COMMA.split(mapped[0]):
            value, names = _entry(entry)
            by_value[value] = by_value.get(value, frozenset()) | names
        return cls(claim, by_value)

    def granted(self, claims: Claims) -> frozenset[Permission]:
        """All permissions that the values of the claim give, in a list or separated by spaces."""
        found = _found(claims, self.claim)
        values: Iterable[object] = ()
        if isinstance(found, str):
            values = [found, *found.split()]
        elif isinstance(found, list):
            values = cast("list[object]", found)
        given = (self.by_value.get(value) for value in values if isinstance(value, str))
        return frozenset[Permission]().union(*(names for names in given if names))


def _is_unclear(claim: str) -> bool:
    """Whether it may be meant as a mapping."""
    return "=" in claim or claim.endswith(":") or any(map(str.isspace, claim))


def _entry(entry: str) -> tuple[str, frozenset[Permission]]:
    # The last one: the name of a group may have equals signs, as in LDAP.
    value, is_mapped, names = entry.rpartition("=")
    value = value.strip().replace("\\,", ",")
    if not is_mapped or not value:
        raise ValueError(_FORM)
    granted = frozenset[Permission]()
    for name in names.split("+"):
        if name.strip() not in _BY_NAME:
            raise ValueError(f"gives a value something else than {', '.join(_BY_NAME)}")
        granted |= _BY_NAME[name.strip()]
    return value, granted


def _found(claims: Claims, path: str) -> object:
    """The claim with exactly this name, else the one at the dotted path; None if there is none."""
    if path in claims:
        return claims[path]
    for dot in (index for index, character in enumerate(path) if character == "."):
        inner = claims.get(path[:dot])
        if isinstance(inner, dict):
            found = _found(cast("Claims", inner), path[dot + 1 :])
            if found is not None:
                return found
    return None
