"""The four invariants of a log after writes under faults; each violation is a sentence.

1. Every acknowledged write is in the log once, at the place in its acknowledgement.
2. No unacknowledged write is in it twice or in part; a denied write is not in it at all.
3. Versions have no gaps, and positions and times increase.
4. A replay of the log equals the views.
"""

from collections import defaultdict
from collections.abc import Generator, Iterable, Sequence
from datetime import datetime

from msgspec import Struct

from application.projector.view_store import Slot
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import EventStore, open_event_store
from projections.registry import PROJECTIONS
from tests.support.views.compare_views import differences, events_by_stream_of, snapshot, views_in


class Place(Struct, frozen=True, kw_only=True):
    """The place of the last event of a write; None means that it is unknown."""

    stream: str
    position: int
    version: int | None = None
    event_id: str | None = None
    recorded_at: datetime | None = None


class Write(Struct, frozen=True, kw_only=True):
    """A request to write, under a unique name, and its answers.

    `causes` are the types of its events, `acknowledged` has the place in each acknowledgement.
    `denied`: every answer said that nothing was recorded.
    """

    name: str
    causes: tuple[str, ...]
    acknowledged: tuple[Place, ...] = ()
    denied: bool = False


class Logged(Struct, frozen=True, kw_only=True):
    """An event of the log; `cause` is its correlation id: the name of its write."""

    cause: str
    type: str
    stream: str
    version: int
    position: int
    event_id: str
    recorded_at: datetime


def violations(log: Sequence[Logged], writes: Iterable[Write]) -> list[str]:
    """The violations of the first three invariants; every stream begins in `log`."""
    effects = defaultdict[str, list[Logged]](list)
    for event in log:
        effects[event.cause].append(event)
    wrong = [*_order_violations(log)]
    for write in writes:
        check = _acknowledged if write.acknowledged else _unacknowledged
        effect = effects.pop(write.name, [])
        wrong += [f"{write.name} {violation}" for violation in check(write, effect)]
    return wrong + [f"{name} belongs to no write" for name in effects]


async def stale_views(database_url: str, master_keys: str) -> list[str]:
    """The projections that differ from a replay up to their checkpoints, and the differences."""
    async with open_event_store(database_url, MasterKeys.parse(master_keys)) as store:
        return await differing_views(database_url, store)


async def differing_views(database_url: str, store: EventStore) -> list[str]:
    """Compares every view and every counter with a replay; nothing may be parked."""
    views, histories = views_in(database_url), events_by_stream_of(store)
    wrong: list[str] = []
    for slot in map(Slot, PROJECTIONS):
        if found := await differences(views, histories, [slot]):
            wrong.append(f"{slot} differs from a replay of the log: {found}")
        if parked := (await snapshot(views, slot)).parked:
            wrong.append(f"{slot} has parked {parked}")
    return wrong


def _acknowledged(write: Write, effect: Sequence[Logged]) -> Generator[str]:
    if not effect:
        yield "was acknowledged and is not in the log"
    elif not _is_once(write, effect):
        yield f"was acknowledged and caused {_types(effect)}"
    else:
        yield from (
            f"was acknowledged at {place} and is at {effect[-1]}"
            for place in write.acknowledged
            if not _is_right(place, effect[-1])
        )


def _unacknowledged(write: Write, effect: Sequence[Logged]) -> Generator[str]:
    if effect and write.denied:
        yield "was denied and is in the log"
    elif effect and not _is_once(write, effect):
        yield f"was never acknowledged and caused {_types(effect)}"


def _is_once(write: Write, effect: Sequence[Logged]) -> bool:
    """All events of the write in order, without others between them, in one stream."""
    if _types(effect) != write.causes:
        return False
    first = effect[0]
    return all(
        (event.stream, event.version, event.position)
        == (first.stream, first.version + n, first.position + n)
        for n, event in enumerate(effect)
    )


def _types(effect: Sequence[Logged]) -> tuple[str, ...]:
    return tuple(event.type for event in effect)


def _is_right(place: Place, event: Logged) -> bool:
    facts = (
        (place.stream, event.stream),
        (place.position, event.position),
        (place.version, event.version),
        (place.event_id, event.event_id),
        (place.recorded_at, event.recorded_at),
    )
    return all(stated is None or stated == actual for stated, actual in facts)


def _order_violations(log: Sequence[Logged]) -> Generator[str]:
    versions, ids = defaultdict[str, int](int), set[str]()
    last: Logged | None = None
    for event in log:
        if last is not None and event.position <= last.position:
            yield f"position {event.position} comes after {last.position}"
        if last is not None and event.recorded_at <= last.recorded_at:
            yield f"position {event.position} is no later than the one before it"
        if event.version != versions[event.stream] + 1:
            yield f"{event.stream} has {event.version} after version {versions[event.stream]}"
        if event.event_id in ids:
            yield f"event {event.event_id} is in the log twice"
        last = event
        versions[event.stream] = event.version
        ids.add(event.event_id)
