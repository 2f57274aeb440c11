"""The JSON shapes that HTTP sends and the cache stores."""

from collections.abc import Sequence
from typing import Any, Literal, Self, TypeVar

from msgspec import Struct
from msgspec.structs import asdict

from application.queries.directory import DayCount, Stats
from application.timestamps import Timestamp, timestamp
from application.users.states import UserAt
from domain.event import Erased
from domain.user.state import Status
from projections.users import UserView

T = TypeVar("T")


class User(Struct, frozen=True, kw_only=True):
    """The four personal fields are null once the person is erased; `personal` says so."""

    id: str
    external_id: str | None
    name: str | None
    email: str | None
    role: str
    status: Status
    attributes: dict[str, Any] | None
    version: int
    created_at: Timestamp
    updated_at: Timestamp
    personal: Literal["open", "erased"]

    @classmethod
    def of_view(cls, view: UserView) -> Self:
        return cls(
            id=str(view.id),
            external_id=view.external_id,
            name=view.name,
            email=view.email,
            role=view.role,
            status=view.status,
            attributes=view.attributes,
            version=view.version,
            created_at=timestamp(view.created_at),
            updated_at=timestamp(view.updated_at),
            personal="erased" if view.name is None else "open",
        )

    @classmethod
    def of_state(cls, state: UserAt) -> Self:
        user = state.user
        return cls(
            id=str(state.user_id),
            external_id=_readable(user.external_id),
            name=_readable(user.name),
            email=_readable(user.email),
            role=user.role,
            status=user.status,
            attributes=_readable(user.attributes),
            version=state.version,
            created_at=timestamp(state.created_at),
            updated_at=timestamp(state.updated_at),
            personal="erased" if isinstance(user.name, Erased) else "open",
        )


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


def _readable(value: T | Erased) -> T | None:
    return None if isinstance(value, Erased) else value
