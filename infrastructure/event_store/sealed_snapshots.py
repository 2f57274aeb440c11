"""Between a snapshot and its stored form: the state sealed with the person's key, in its own place."""

from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec.structs import replace

from application.keys.ports import Cipher, KeyRing, SealBroken
from application.log.event_log import StreamSnapshot
from infrastructure.event_store.event_rows import Row, key_of

# An event's seal is bound to 32 bytes, two ids: neither opens in the place of the other.
_PURPOSE: Final = b"\x00snapshot\x00"
_EVENT_ID: Final = 6
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def sealed(snapshot: StreamSnapshot, cipher: Cipher) -> bytes:
    """The state as it is stored."""
    assert snapshot.state is not None, "only what is open is sealed"
    return cipher.seal(snapshot.state, _place(snapshot))


def is_snapshot(row: Row) -> bool:
    """Whether a row of a loaded stream is its snapshot, not an event."""
    return row[_EVENT_ID] is None


def opened(row: Row, keys: KeyRing) -> StreamSnapshot:
    """The snapshot in such a row, without its state where that does not open."""
    position, stream, version, form, state, *_, recorded_at, created_at, _, _ = row
    snapshot = StreamSnapshot(
        stream=stream,
        form=form,
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
    """What the seal is bound to: whatever is told beside the state."""
    told = (
        snapshot.stream.hex,
        snapshot.form,
        str(snapshot.version),
        str(snapshot.position),
        str((snapshot.created_at - _EPOCH) // _MICROSECOND),
        str((snapshot.recorded_at - _EPOCH) // _MICROSECOND),
    )
    return _PURPOSE + "\x00".join(told).encode()
