"""The tokens of a directory in memory."""

from collections.abc import Mapping
from typing import Final, cast, get_args

from application.identity import PRESETS, Permission, Preset, Principal

_OTHERS: Final[Mapping[str, frozenset[Permission]]] = {
    "nobody": frozenset(),
    "watcher": frozenset({"events:read"}),
    "inspector": frozenset({"audit:read"}),
}


class PresetTokens:
    """Each preset name is a token with its permissions; `_OTHERS` has more tokens.

    It is also the token of the settings: so these have no credential, and are never looked up.
    """

    def principal(self, token: str) -> Principal | None:
        permissions = _OTHERS.get(token)
        if token in get_args(Preset):
            permissions = PRESETS[cast("Preset", token)]
        if permissions is None:
            return None
        return Principal(actor=f"token:{token}", permissions=permissions)
