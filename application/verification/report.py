"""The report of a verification: the counts, the streams that differ and their repairs."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from msgspec import Struct, field

from application.projector.view_store import Entry, Slot
from application.verification.refold import Refold, contribution_or_nothing

_BYTES: Final = 16
_MODULUS: Final = 1 << (8 * _BYTES)


class Tally:
    """The number of events, and a digest over the chains of all streams.

    The digest is the sum, modulo 2**128, of the first 16 bytes of SHA-256 over stream, version and
    chain of each. A chain is a digest over the ids of a stream's events in order, so equal digests
    mean the same events of the same streams, each once.
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
    """See `Tally`; the tally of the log leaves out events queued behind a parked one."""

    events: int
    checksum: str


class Unrepaired(Struct, frozen=True, kw_only=True):
    """A stream that differs and was not repaired, and the reason."""

    stream: UUID
    reason: str


class Verified(Struct, frozen=True, kw_only=True):
    """One slot compared with the log up to `position`, its checkpoint.

    `differing` counts the streams whose version, chain or fields differ; `streams` has the first of
    them by id. `counters` has the first counters that differ, by name. `left` has the first streams
    that were not repaired. `parked` counts streams. `matches`: nothing differs, or all is repaired.
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
    matches: bool = field(name="right")


class Findings:
    """The findings of one slot."""

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
        """Count a stream."""
        projection, stored, expected = self.slot.projection, refold.stored.entry, refold.expected
        self._parked += refold.stored.parked is not None
        if expected is not None:
            self._log.add(refold.stream, expected)
        if stored is not None:
            self._views.add(refold.stream, stored)
        if projection.contribution is not None:
            self._of_views.update(contribution := contribution_or_nothing(projection, stored))
            self._of_log.update(
                contribution_or_nothing(projection, expected) if differs else contribution
            )
        if differs:
            self._differing += 1
            if len(self._streams) < MAX_NAMED:
                self._streams.append(refold.stream)

    def record_repair(self, refold: Refold[Any], reason: str | None) -> None:
        """Record the result of a repair: None, or the reason why the stream was not repaired."""
        if reason is None:
            self._repaired += 1
        elif len(self._left) < MAX_NAMED:
            self._left.append(Unrepaired(stream=refold.stream, reason=reason))

    @property
    def drift(self) -> Mapping[str, int]:
        """The counters minus the sums over the stored views. Pages and repairs do not change it."""
        return _difference(self.counters, self._of_views)

    def verified(self, *, was_repaired: bool) -> Verified:
        """The report; `was_repaired`: the drift of the counters was removed."""
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
            matches=self._repaired == self._differing and (was_repaired or not differing),
        )


def _difference(one: Mapping[str, int], other: Mapping[str, int]) -> Mapping[str, int]:
    difference = {name: one.get(name, 0) - other.get(name, 0) for name in one.keys() | other.keys()}
    return {name: n for name, n in difference.items() if n}
