"""Seals and opens snapshots with the person's key; each seal is bound to its place."""

from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec.structs import replace

from application.keys.ports import Cipher, KeyRing, SealBroken
from application.log.event_log import StreamSnapshot
from infrastructure.event_store.event_rows import Row, key_of

# Begins the seal's context. An event's context is two ids (32 bytes), so that the seals of events
# and snapshots cannot be exchanged.
_PURPOSE: Final = b"\x00snapshot\x00"
_EVENT_ID: Final = 6
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def sealed(snapshot: StreamSnapshot, cipher: Cipher) -> bytes:
    """The sealed state, as it is stored."""
    assert snapshot.state is not None, "a snapshot without a state cannot be sealed"
    return cipher.seal(snapshot.state, _place(snapshot))


def is_snapshot(row: Row) -> bool:
    """Whether a row of a loaded stream is its snapshot, not an event."""
    return row[_EVENT_ID] is None


def opened(row: Row, keys: KeyRing) -> StreamSnapshot:
    """The snapshot in such a row, without its state if the seal cannot be opened."""
    position, stream, version, form, state, *_, recorded_at, created_at, _, _ = row
    snapshot = StreamSnapshot(
        stream=stream,
        format=form,
        version=version,
        position=position,
        created_at=created_at,
        recorded_at=recorded_at,
        state=None,
    )
    key = key_of(row)
    if key is None:
        return snapshot
    try:
        return replace(snapshot, state=keys.cipher(stream, key).open(state, _place(snapshot)))
    except SealBroken:
        return snapshot


def _place(snapshot: StreamSnapshot) -> bytes:
    """The context that the seal is bound to: all other fields of the snapshot."""
    context = (
        snapshot.stream.hex,
        snapshot.format,
        str(snapshot.version),
        str(snapshot.position),
        str((snapshot.created_at - _EPOCH) // _MICROSECOND),
        str((snapshot.recorded_at - _EPOCH) // _MICROSECOND),
    )
    return _PURPOSE + "\x00".join(context).encode()
