"""The JSON shapes that HTTP sends and the cache stores."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from msgspec import Meta, Struct
from msgspec.structs import asdict, replace

from application.queries.directory import DayCount, Stats
from application.timestamps import Timestamp, timestamp
from application.users.states import UserAt
from domain.event import ERASED
from domain.user import state as domain
from domain.user.state import Status
from projections.users import UserView


class User(Struct, frozen=True, kw_only=True):
    """The personal fields are null for a reader without users:read (`personal` is `sealed`), and once
    the person is erased.
    """

    id: Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
    external_id: str | None
    name: str | None
    email: str | None
    role: str
    status: Status
    attributes: dict[str, Any] | None
    version: int
    created_at: Timestamp
    updated_at: Timestamp
    personal: Literal["open", "sealed", "erased"]

    @classmethod
    def of_view(cls, view: UserView) -> Self:
        return cls._of(view, view, view.id)

    @classmethod
    def of_state(cls, state: UserAt) -> Self:
        return cls._of(state.user, state, state.user_id)

    def sealed(self) -> Self:
        """The user for a reader that may not see personal fields."""
        if self.personal == "erased":
            return self
        return replace(self, personal="sealed", **dict.fromkeys(domain.PERSONAL))

    @classmethod
    def _of(cls, user: UserView | domain.User, at: UserView | UserAt, user_id: UUID) -> Self:
        values: dict[str, Any] = {}
        for name in _FIELDS:
            value = getattr(user, name)
            values[name] = None if value is ERASED else value
        return cls(
            id=str(user_id),
            version=at.version,
            created_at=timestamp(at.created_at),
            updated_at=timestamp(at.updated_at),
            personal="erased" if values["name"] is None else "open",
            **values,
        )


_FIELDS: Final = [name for name in domain.User.__struct_fields__ if name != "before_deletion"]


class Statistics(Struct, frozen=True, kw_only=True):
    """`registered` covers 30 days; `trend` compares the last 7 days with the 7 before."""

    active: int
    suspended: int
    deleted: int
    erased: int
    total: int
    by_role: dict[str, int]
    registered: Sequence[DayCount]
    trend: Literal["up", "none", "down"]
    position: int

    @classmethod
    def of_stats(cls, stats: Stats, position: int) -> Self:
        return cls(**asdict(stats), position=position)
