"""The four invariants of a log that was written to under faults; every breach is a sentence.

1. Every acknowledged write is in the log once, where its caller was told.
2. No unacknowledged write is in it twice, or in part; one that was denied is not in it at all.
3. Versions have no hole, and positions and times rise.
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
from tests.support.views.refolded import differences, histories_of, snapshot, views_in


class Place(Struct, frozen=True, kw_only=True):
    """Where the last event of a write stands, as far as its caller was told: None says nothing."""

    stream: str
    position: int
    version: int | None = None
    event_id: str | None = None
    recorded_at: datetime | None = None


class Write(Struct, frozen=True, kw_only=True):
    """What was asked for, under a name that no other write has, and what came back.

    `causes` are the types of its events, `told` each acknowledgement. `denied`: all that the
    caller was told is that nothing was recorded.
    """

    name: str
    causes: tuple[str, ...]
    told: tuple[Place, ...] = ()
    denied: bool = False


class Logged(Struct, frozen=True, kw_only=True):
    """An event of the log; `cause` is its correlation id, the name of the write it belongs to."""

    cause: str
    type: str
    stream: str
    version: int
    position: int
    event_id: str
    recorded_at: datetime


def breaches(log: Sequence[Logged], writes: Iterable[Write]) -> list[str]:
    """Where a log breaks one of the first three; no stream in it began before its first event."""
    effects = defaultdict[str, list[Logged]](list)
    for event in log:
        effects[event.cause].append(event)
    wrong = [*_disorder(log)]
    for write in writes:
        judged = _acknowledged if write.told else _unacknowledged
        effect = effects.pop(write.name, [])
        wrong += [f"{write.name} {breach}" for breach in judged(write, effect)]
    return wrong + [f"{name} is nobody's" for name in effects]


async def stale_views(database_url: str, master_keys: str) -> list[str]:
    """The projections that differ from a replay up to their checkpoints, and in what."""
    async with open_event_store(database_url, MasterKeys.parse(master_keys)) as store:
        return await differing(database_url, store)


async def differing(database_url: str, store: EventStore) -> list[str]:
    """Version, chain and every field of every view, and every counter; nothing may be left out."""
    views, histories = views_in(database_url), histories_of(store)
    wrong: list[str] = []
    for slot in map(Slot, PROJECTIONS):
        if found := await differences(views, histories, [slot]):
            wrong.append(f"{slot} is no replay of the log: {found}")
        if parked := (await snapshot(views, slot)).parked:
            wrong.append(f"{slot} has left out {parked}")
    return wrong


def _acknowledged(write: Write, effect: Sequence[Logged]) -> Generator[str]:
    if not effect:
        yield "was acknowledged and is not in the log"
    elif not _is_once(write, effect):
        yield f"was acknowledged and caused {_types(effect)}"
    else:
        yield from (
            f"was told {told} and stands at {effect[-1]}"
            for told in write.told
            if not _is_true(told, effect[-1])
        )


def _unacknowledged(write: Write, effect: Sequence[Logged]) -> Generator[str]:
    if effect and write.denied:
        yield "was told that nothing was recorded, and it was"
    elif effect and not _is_once(write, effect):
        yield f"was never acknowledged and caused {_types(effect)}"


def _is_once(write: Write, effect: Sequence[Logged]) -> bool:
    """All events of the write in order, one right after another, in one stream."""
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


def _is_true(told: Place, event: Logged) -> bool:
    facts = (
        (told.stream, event.stream),
        (told.position, event.position),
        (told.version, event.version),
        (told.event_id, event.event_id),
        (told.recorded_at, event.recorded_at),
    )
    return all(said is None or said == truth for said, truth in facts)


def _disorder(log: Sequence[Logged]) -> Generator[str]:
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
