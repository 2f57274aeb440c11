"""Which event set each field of a user: folded with the state, so that no search is needed."""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from domain.event import Erased, changed_field
from domain.user.events import (
    FieldChanged,
    UserAttributesChanged,
    UserEvent,
    UserRegistered,
)


class Setters(Struct, frozen=True):
    """The versions of the events that set the current fields, and the current attributes by key."""

    fields: dict[str, int]
    attributes: dict[str, int]


NO_SETTERS: Final = Setters({}, {})
_FIELDS: Final = (*UserRegistered.__struct_fields__, "status")


def setters_after(before: Setters, event: UserEvent, version: int) -> Setters:
    """The setters after an event of this version."""
    match event:
        case UserRegistered():
            attributes = _keys(event.attributes)
            fields = [name for name in _FIELDS if name != "attributes"]
            return Setters(dict.fromkeys(fields, version), dict.fromkeys(attributes, version))
        case UserAttributesChanged():
            removed = _keys(event.removed)
            kept = {key: at for key, at in before.attributes.items() if key not in removed}
            changed = dict.fromkeys(_keys(event.set), version)
            return Setters(before.fields, {**kept, **changed})
        case _:
            name = changed_field(type(event)) if isinstance(event, FieldChanged) else "status"
            return Setters({**before.fields, name: version}, before.attributes)


def _keys(given: Iterable[str] | Erased) -> Iterable[str]:
    """No keys if they are erased, because nothing is shown of such a user."""
    return () if isinstance(given, Erased) else given
