"""What every event is: a frozen payload with a stable name, and the record of it in the log."""

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from typing import Any, ClassVar, Final, Generic, TypeVar, get_args, get_type_hints
from uuid import UUID

from msgspec import Struct


class Erased(Enum):
    """The value of a personal field after the person's key is destroyed."""

    ERASED = 0


ERASED: Final = Erased.ERASED

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]


def personal_fields(struct: type[Struct]) -> frozenset[str]:
    """The fields that hold personal data: those that may be `Erased`."""
    types = get_type_hints(struct).items()
    return frozenset(name for name, hint in types if Erased in get_args(hint))


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A payload and nothing else: id, version and metadata belong to `Recorded`.

    `topic` is the stored name and is never renamed. `personal` names the fields that may be
    `Erased`: they are sealed together under the person's key. `upcasters[n]` turns the open fields of a payload
    stored with schema version n into those of n + 1; an absent personal field is an erased one,
    so an upcaster must accept the value `ERASED` and may not depend on any personal field.
    `is_terminal`: no event follows it in its stream, and it alone determines the state.
    """

    topic: ClassVar[str]
    schema_version: ClassVar[int] = 1
    personal: ClassVar[frozenset[str]] = frozenset()
    upcasters: ClassVar[Mapping[int, Upcaster]] = {}
    is_terminal: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.personal = personal_fields(cls)


def changed_field(event: type[Event]) -> str:
    """The name of the field that an event sets, of those that have it first and then `previous`."""
    return event.__struct_fields__[0]


E_co = TypeVar("E_co", bound=Event, covariant=True)


class Recorded(Struct, Generic[E_co], frozen=True, kw_only=True, gc=False):
    """A recorded event.

    `version` counts from 1 without holes within `stream`; `position` rises over the whole log and
    may have holes; `recorded_at` (UTC, microseconds) rises with position.
    """

    event: E_co
    kind: str
    stream: UUID
    version: int
    position: int
    event_id: UUID
    actor: str
    on_behalf_of: str | None
    correlation_id: str
    causation_id: UUID | None
    recorded_at: datetime

    @property
    def is_erased(self) -> bool:
        """Whether the event had personal fields and they can no longer be read."""
        return any(getattr(self.event, name) is ERASED for name in self.event.personal)
