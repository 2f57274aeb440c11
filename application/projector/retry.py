"""Retry and skip of parked streams: fold on from the view, up to the checkpoint of its slot."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from msgspec.structs import replace

from application.log.by_stream import EventsByStream, Place
from application.projector.fold import NOTHING, fold_page, park_unstorable, unfinished_event
from application.projector.parked import (
    AnotherEventFirst,
    Decision,
    LockedStream,
    NothingParked,
    ParkedStreams,
    RetryResult,
)
from application.projector.view_store import Changes, Entry, Skipped, Slot, Unstorable
from domain.event import Event, Recorded
from projections.projection import V

# The checkpoint is locked for at most so many events at a time, however many are parked.
PIECE_EVENTS: Final = 500


async def retry(
    projection: str, stream: UUID, parked_streams: ParkedStreams, events_by_stream: EventsByStream
) -> RetryResult:
    """Retry a stream in each generation; the result is that of the first in which it was parked.

    Raises `NothingParked` and `Unavailable`.
    """
    slots = await _parked_in(projection, stream, parked_streams)
    if not slots:
        raise NothingParked(NothingParked.__doc__)
    results = [
        await retry_in_slot(slot, stream, parked_streams, events_by_stream) for slot in slots
    ]
    return results[0]


async def skip(
    projection: str,
    stream: UUID,
    version: int,
    reason: str,
    actor: str,
    parked_streams: ParkedStreams,
    events_by_stream: EventsByStream,
) -> RetryResult:
    """Skip the first parked event permanently, and retry the events after it.

    `version` names the event that the caller means; of one that is skipped already nothing more is
    recorded. Raises `NothingParked`, `AnotherEventFirst` and `Unavailable`.
    """
    slots = await _parked_in(projection, stream, parked_streams)
    decided_in = slots or await parked_streams.slots(projection)
    if not decided_in:
        raise NothingParked(NothingParked.__doc__)
    async with parked_streams.lock(decided_in[0], stream) as locked:
        await _skip(locked, stream, version, reason, actor)
    results = [
        await retry_in_slot(slot, stream, parked_streams, events_by_stream) for slot in slots
    ]
    return results[0] if results else RetryResult(applied=0, parked=None)


async def _skip(
    locked: LockedStream[Any], stream: UUID, version: int, reason: str, actor: str
) -> None:
    first = locked.first
    if first is not None and first.version == version:
        await locked.skip(Decision(event=first, reason=reason, actor=actor))
    elif (stream, version) in locked.skipped:
        return
    elif first is None:
        raise NothingParked(NothingParked.__doc__)
    else:
        raise AnotherEventFirst(first.version)


async def _parked_in(
    projection: str, stream: UUID, parked_streams: ParkedStreams
) -> Sequence[Slot[Any]]:
    """The slots in which the stream is parked, the serving generation first."""
    found: list[Slot[Any]] = []
    for slot in await parked_streams.slots(projection):
        async with parked_streams.lock(slot, stream) as locked:
            if locked.first is not None:
                found.append(slot)
    return found


async def retry_in_slot(
    slot: Slot[V], stream: UUID, parked_streams: ParkedStreams, events_by_stream: EventsByStream
) -> RetryResult:
    """Retry in one slot. Halves a page that cannot be stored, down to the event, which stays parked.

    The events are read between two locks, so the checkpoint is never held for a read of the log.
    """
    # Often the first event stays parked: so it is tried alone.
    applied, limit, reason = 0, 1, None
    while True:
        async with parked_streams.lock(slot, stream) as locked:
            if locked.first is None:
                return RetryResult(applied=applied, parked=None)
            place, position = _place(locked), locked.position
        events = await _rest(slot, stream, events_by_stream, place[0], position, limit + 1)
        async with parked_streams.lock(slot, stream) as locked:
            if _place(locked) != place:
                # An event came meanwhile, which may be an erasure: nothing read before it is folded.
                limit, reason = max(1, limit // 2), None
                continue
            entry = locked.entry or NOTHING
            piece = events[:limit]
            try:
                changes = _folded(slot, entry, piece, locked.skipped, reason)
                is_over = bool(changes.parked) or len(events) <= limit
                if not is_over:
                    changes = replace(changes, parked=[unfinished_event(events[limit])])
                await locked.commit(changes)
            except Unstorable as error:
                if reason is not None or not piece:
                    raise
                reason = error.reason if len(piece) == 1 else None
                limit = max(1, len(piece) // 2)
                continue
        applied += changes.entries.get(stream, entry).version - entry.version
        if is_over:
            return RetryResult(applied=applied, parked=next(iter(changes.parked), None))
        limit = PIECE_EVENTS if limit == 1 else limit


def _place(locked: LockedStream[Any]) -> tuple[int, int]:
    """Up to which version the stream is folded, and up to which it is parked."""
    return 0 if locked.entry is None else locked.entry.version, locked.last_version


def _folded(
    slot: Slot[V],
    entry: Entry[V],
    events: Sequence[Recorded[Event]],
    skipped: Skipped,
    reason: str | None,
) -> Changes[V]:
    """The changes by the events; with a reason, the one event is parked for it."""
    if reason is not None:
        known = None if entry is NOTHING else entry
        return park_unstorable(slot.projection, known, events[0], reason)
    stream = {recorded.stream for recorded in events}
    entries = dict.fromkeys(stream, entry)
    return fold_page(slot.projection, entries, frozenset(), events, skipped)


async def _rest(
    slot: Slot[Any],
    stream: UUID,
    events_by_stream: EventsByStream,
    version: int,
    up_to: int,
    limit: int,
) -> Sequence[Recorded[Event]]:
    """Up to `limit` events of the stream after a version, none above position `up_to`."""
    kinds = slot.projection.kinds
    events = await events_by_stream.read(kinds, Place(stream, version), up_to, limit)
    return [recorded for recorded in events if recorded.stream == stream]
