"""The one serializer of the log: seals, opens and upcasts for every reader and writer of it."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import JSONTranscoder, Mapper, StoredEvent, Transcoder
from msgspec import Struct
from structlog import get_logger

from application.errors import MasterKeyMissing, StreamUnreadable
from application.keys.ports import SealBroken, UnknownMasterKey
from application.log.event_log import DraftSnapshot, StreamKey, StreamSnapshot, Unreadable
from application.log.search import LIBRARY_KIND
from domain.event import Event, Recorded
from infrastructure.event_store.serializer import Undecodable, to_event, to_sealed, to_state
from infrastructure.event_store.stored_rows import Row, StoredRow, key_of
from infrastructure.keys import MasterKeyRing

# Begins the context of a snapshot's seal. An event's context is two ids (32 bytes), so that the
# seals of events and snapshots cannot be exchanged.
_SNAPSHOT: Final = b"\x00snapshot\x00"
_EVENT_ID: Final = 6

log = get_logger(__name__)


class NewEvent(Struct, frozen=True):
    """An event before its append, with the key that seals its personal fields."""

    event: Event
    stream: UUID
    version: int
    event_id: UUID
    key: StreamKey | None


class RollbookMapper(Mapper[UUID]):
    """Maps Rollbook's events by their codecs, and those of an application as the library does.

    A row carries its wrapped key, so nothing here does I/O.
    """

    def __init__(self, keys: MasterKeyRing, transcoder: Transcoder | None = None) -> None:
        super().__init__(transcoder or JSONTranscoder())
        self._keys = keys
        self._missing = set[str]()

    def to_stored_event(self, domain_event: "DomainEventProtocol[UUID] | NewEvent") -> StoredEvent:
        """The stored form. Raises `ValueError` if there is something to seal and no key."""
        if not isinstance(domain_event, NewEvent):
            return super().to_stored_event(domain_event)
        new, stream = domain_event, domain_event.stream
        cipher = self._keys.cipher(stream, new.key) if new.key is not None else None
        state = to_state(new.event, stream, new.event_id, cipher)
        return StoredEvent(stream, new.version, new.event.topic, state)

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        """`Recorded[Event]` for a stream of Rollbook, else the event of the library's aggregate."""
        if isinstance(stored_event, StoredRow) and stored_event.kind != LIBRARY_KIND:
            return self.recorded(stored_event)
        return super().to_domain_event(stored_event)

    def recorded(self, stored: StoredRow, *, leniently: bool = False) -> Recorded[Event]:
        """The event of a row; with `leniently` an unreadable event becomes `Unreadable`.

        Raises the errors of the key ring and of `to_event`. Imports nothing for an unknown topic.
        """
        stream = stored.originator_id
        try:
            cipher = self._keys.cipher(stream, stored.key) if stored.key is not None else None
            event = to_event(stored.topic, stored.state, stream, stored.event_id, cipher)
        except (Undecodable, SealBroken, UnknownMasterKey) as error:
            if not leniently:
                raise
            event = _unreadable(stored, error)
        return _recorded(stored, event)

    def recorded_leniently(self, row: Row) -> Recorded[Event]:
        """The event of a row of `COLUMNS`, or `Unreadable`."""
        return self.recorded(StoredRow.of(row), leniently=True)

    @contextmanager
    def refusing(self) -> Generator[None]:
        """Turns the errors of `recorded` into refusals of one caller.

        Raises `MasterKeyMissing`, logged once for each master key, and `StreamUnreadable`.
        """
        try:
            yield
        except UnknownMasterKey as error:
            if error.master_id not in self._missing:
                self._missing.add(error.master_id)
                log.error("master_key_missing", id=error.master_id)
            raise MasterKeyMissing from error
        except (Undecodable, SealBroken) as error:
            raise StreamUnreadable(_reason(error)) from error

    def seal_snapshot(
        self, snapshot: DraftSnapshot, stream: UUID, version: int, key: StreamKey
    ) -> bytes:
        """The sealed state, as it is stored; it opens only at its own place."""
        context = _context(stream, snapshot.format, version)
        return self._keys.cipher(stream, key).seal(snapshot.state, context)

    def open_snapshot(self, row: Row) -> StreamSnapshot:
        """The snapshot in a row of a loaded stream, without its state if the seal cannot be opened."""
        position, stream, version, form, sealed, *_, recorded_at, created_at, _, _ = row
        state, key = None, key_of(row)
        if key is not None:
            try:
                state = self._keys.cipher(stream, key).open(sealed, _context(stream, form, version))
            except SealBroken:
                state = None
        return StreamSnapshot(
            stream=stream,
            format=form,
            version=version,
            position=position,
            created_at=created_at,
            recorded_at=recorded_at,
            state=state,
        )


def is_snapshot(row: Row) -> bool:
    """Whether a row of a loaded stream is its snapshot, not an event."""
    return row[_EVENT_ID] is None


def sealed(stored: StoredRow) -> Recorded[Event]:
    """The event of a row with its ciphertext unopened, or `Unreadable` if it cannot be read."""
    try:
        event = to_sealed(stored.topic, stored.state, is_erased=not stored.has_key)
    except Undecodable as error:
        event = Unreadable(type=stored.topic, reason=_reason(error))
    return _recorded(stored, event)


def _recorded(stored: StoredRow, event: Event) -> Recorded[Event]:
    return Recorded(
        event=event,
        kind=stored.kind,
        stream=stored.originator_id,
        version=stored.originator_version,
        position=stored.id,
        event_id=stored.event_id,
        actor=stored.actor,
        on_behalf_of=stored.on_behalf_of,
        correlation_id=stored.correlation_id,
        causation_id=stored.causation_id,
        recorded_at=stored.recorded_at,
    )


def _unreadable(stored: StoredRow, error: Exception) -> Unreadable:
    reason = _reason(error)
    try:
        known = to_sealed(stored.topic, stored.state, is_erased=True)
    except Undecodable:
        return Unreadable(type=stored.topic, reason=reason)
    return Unreadable(type=stored.topic, reason=reason, schema=known.schema, fields=known.fields)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _context(stream: UUID, form: str, version: int) -> bytes:
    return _SNAPSHOT + f"{stream.hex}\x00{form}\x00{version}".encode()
