"""What a comparison of a slot with the log has found, stream by stream, and what is to be told of it."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from application.projector.view_store import Entry, Slot
from application.verification.refold import Refold, contribution_told

_BYTES: Final = 16
_MODULUS: Final = 1 << (8 * _BYTES)


class Tally:
    """How many events were counted, and a digest over the chains of all streams.

    The digest is the sum, modulo 2**128, of the first 16 bytes of SHA-256 over stream, version and
    chain of each. A chain digests the ids of a stream's events in their order, so equal digests
    mean: the same events of the same streams, each once.
    """

    def __init__(self) -> None:
        self.events = 0
        self._digest = 0

    def add(self, stream: UUID, entry: Entry[Any]) -> None:
        """Count a stream's entry."""
        version = entry.version.to_bytes(8, "big", signed=True)
        digest = hashlib.sha256(stream.bytes + version + entry.chain).digest()[:_BYTES]
        self.events += entry.version
        self._digest = (self._digest + int.from_bytes(digest, "big")) % _MODULUS

    @property
    def checksum(self) -> str:
        """The digest, as 32 hexadecimal digits."""
        return f"{self._digest:0{2 * _BYTES}x}"


MAX_NAMED: Final = 100


class Counted(Struct, frozen=True, kw_only=True):
    """See `Tally`; of the log without the events that wait behind a parked one."""

    events: int
    checksum: str


class Unrepaired(Struct, frozen=True, kw_only=True):
    """A stream that differs and was not repaired, and why not."""

    stream: UUID
    reason: str


class Verified(Struct, frozen=True, kw_only=True):
    """One slot at `position`, its checkpoint, against the log up to there.

    `differing` counts the streams of which version, chain or a field differ; `streams` has the
    first of them by id, `counters` the first of the counters that differ, by name, `left` the first
    streams that a repair did not change. `parked` counts streams. `right`: nothing differs any more.
    """

    generation: int
    partition: int
    position: int
    log: Counted
    views: Counted
    parked: int
    differing: int
    streams: Sequence[UUID]
    counters: Sequence[str]
    repaired: int
    left: Sequence[Unrepaired]
    right: bool


class Findings:
    """What was found of one slot."""

    def __init__(self, slot: Slot[Any], position: int) -> None:
        self.slot = slot
        self._position = position
        self._log, self._views = Tally(), Tally()
        self._of_log, self._of_views = Counter[str](), Counter[str]()
        self._parked = self._differing = self._repaired = 0
        self._streams: list[UUID] = []
        self._left: list[Unrepaired] = []
        self.counters: Mapping[str, int] = {}

    def count(self, refold: Refold[Any], *, differs: bool) -> None:
        """Take a stream into account."""
        projection, kept, fresh = self.slot.projection, refold.kept.entry, refold.fresh
        self._parked += refold.kept.parked is not None
        if fresh is not None:
            self._log.add(refold.stream, fresh)
        if kept is not None:
            self._views.add(refold.stream, kept)
        if projection.contribution is not None:
            self._of_views.update(told := contribution_told(projection, kept))
            self._of_log.update(contribution_told(projection, fresh) if differs else told)
        if differs:
            self._differing += 1
            if len(self._streams) < MAX_NAMED:
                self._streams.append(refold.stream)

    def settle(self, refold: Refold[Any], reason: str | None) -> None:
        """Say what a repair came to: None, or why the stream was left as it is."""
        if reason is None:
            self._repaired += 1
        elif len(self._left) < MAX_NAMED:
            self._left.append(Unrepaired(stream=refold.stream, reason=reason))

    @property
    def drift(self) -> Mapping[str, int]:
        """What the counters say more than the views that are kept. No page or repair changes it."""
        return _difference(self.counters, self._of_views)

    def verified(self, *, was_repaired: bool) -> Verified:
        """All of it; `was_repaired`: what the counters say too much was taken off them."""
        differing = _difference(self.counters, self._of_log)
        return Verified(
            generation=self.slot.generation,
            partition=self.slot.partition,
            position=self._position,
            log=Counted(events=self._log.events, checksum=self._log.checksum),
            views=Counted(events=self._views.events, checksum=self._views.checksum),
            parked=self._parked,
            differing=self._differing,
            streams=self._streams,
            counters=sorted(differing)[:MAX_NAMED],
            repaired=self._repaired,
            left=self._left,
            right=self._repaired == self._differing and (was_repaired or not differing),
        )


def _difference(one: Mapping[str, int], other: Mapping[str, int]) -> Mapping[str, int]:
    difference = {name: one.get(name, 0) - other.get(name, 0) for name in one.keys() | other.keys()}
    return {name: n for name, n in difference.items() if n}
