"""Histories of users: fixed ones for examples, random ones for property tests."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final
from uuid import UUID

from hypothesis import strategies as st

from domain.event import ERASED, Event, Recorded
from domain.user.events import (
    PreviousEmail,
    PreviousName,
    PreviousRole,
    UserAttributesChanged,
    UserDeleted,
    UserEmailChanged,
    UserErased,
    UserRegistered,
    UserReinstated,
    UserRenamed,
    UserRestored,
    UserRoleChanged,
    UserSuspended,
)

ZOE: Final = UUID("018f3f5e-0000-7000-8000-000000000001")
YAN: Final = UUID("018f3f5e-0000-7000-8000-000000000002")
START: Final = datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)


def registered(**fields: Any) -> UserRegistered:
    """The registration of Zoë."""
    defaults: dict[str, Any] = {"name": "Zoë", "email": "Zoe@Example.com", "role": "member"}
    return UserRegistered(**{**defaults, **fields})


def recorded(event: Event, version: int, position: int, stream: UUID = ZOE) -> Recorded[Event]:
    """An event as in the log, recorded `position` seconds after the start."""
    return Recorded[Event](
        event=event,
        kind="user",
        stream=stream,
        version=version,
        position=position,
        event_id=UUID(int=position << 64 | version),
        actor="token:test",
        on_behalf_of=None,
        correlation_id="test",
        causation_id=None,
        recorded_at=START + timedelta(seconds=position),
    )


def history(*events: Event, stream: UUID = ZOE) -> list[Recorded[Event]]:
    """The events of one stream, in order."""
    return [recorded(event, n, n, stream) for n, event in enumerate(events, start=1)]


def random_log(random: Random, *, streams: int, events: int) -> list[Recorded[Event]]:
    """A log of many users with possible histories; its positions have gaps."""
    versions = dict.fromkeys((UUID(int=n + 1) for n in range(streams)), 0)
    statuses: dict[UUID, str] = {}
    log: list[Recorded[Event]] = []
    position = 0
    for _ in range(events):
        stream = random.choice(list(versions))
        event = _next_event(random, statuses, stream)
        if event is None:
            continue
        versions[stream] += 1
        position += random.choice((1, 1, 1, 2, 7))
        log.append(recorded(event, versions[stream], position, stream))
    return log


def logs() -> st.SearchStrategy[list[Recorded[Event]]]:
    """Random logs for property tests."""
    return st.builds(
        random_log,
        st.randoms(use_true_random=False),
        streams=st.integers(1, 6),
        events=st.integers(0, 60),
    )


_NAMES: Final = ("Zoë", "Ærø Straße", "", "Łukasz", "李雷")
_ROLES: Final = ("member", "admin", "guest")


def _next_event(random: Random, statuses: dict[UUID, str], stream: UUID) -> Event | None:
    status = statuses.get(stream)
    match status:
        case None:
            statuses[stream] = "active"
            # The log has such events of people that were erased later.
            if random.random() < 0.2:
                return registered(name=ERASED, email=ERASED, external_id=ERASED, attributes=ERASED)
            return registered(name=random.choice(_NAMES), attributes={"n": random.randrange(3)})
        case "erased":
            return None
        case "deleted":
            event = random.choice((UserRestored(), UserErased()))
            statuses[stream] = "erased" if isinstance(event, UserErased) else "active"
            return event
        case _:
            return _change(random, statuses, stream)


def _change(random: Random, statuses: dict[UUID, str], stream: UUID) -> Event:
    match random.randrange(7):
        case 0:
            name = random.choice(_NAMES)
            return UserRenamed(name=name, previous=PreviousName("?"))
        case 1:
            email = f"u{random.randrange(9)}@example.org"
            return UserEmailChanged(email=email, previous=PreviousEmail("?"))
        case 2:
            return UserRoleChanged(role=random.choice(_ROLES), previous=PreviousRole("?"))
        case 3:
            return UserAttributesChanged(set={"a": random.random()}, removed=("n",), previous={})
        case 4:
            statuses[stream] = "active" if statuses[stream] == "suspended" else "suspended"
            return UserSuspended() if statuses[stream] == "suspended" else UserReinstated()
        case 5:
            statuses[stream] = "deleted"
            return UserDeleted(reason=ERASED)
        case _:
            statuses[stream] = "erased"
            return UserErased()
