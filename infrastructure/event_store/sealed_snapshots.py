"""Seals and opens snapshots with the person's key; each seal is bound to its place."""

from typing import Final
from uuid import UUID

from application.keys.ports import Cipher, KeyRing, SealBroken
from application.log.event_log import DraftSnapshot, StreamSnapshot
from infrastructure.event_store.event_rows import Row, key_of

# Begins the seal's context. An event's context is two ids (32 bytes), so that the seals of events
# and snapshots cannot be exchanged.
_PURPOSE: Final = b"\x00snapshot\x00"
_EVENT_ID: Final = 6


def seal_snapshot(snapshot: DraftSnapshot, stream: UUID, version: int, cipher: Cipher) -> bytes:
    """The sealed state, as it is stored."""
    return cipher.seal(snapshot.state, _context(stream, snapshot.format, version))


def is_snapshot(row: Row) -> bool:
    """Whether a row of a loaded stream is its snapshot, not an event."""
    return row[_EVENT_ID] is None


def open_snapshot(row: Row, keys: KeyRing) -> StreamSnapshot:
    """The snapshot in such a row, without its state if the seal cannot be opened."""
    position, stream, version, form, sealed, *_, recorded_at, created_at, _, _ = row
    state, key = None, key_of(row)
    if key is not None:
        try:
            state = keys.cipher(stream, key).open(sealed, _context(stream, form, version))
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


def _context(stream: UUID, form: str, version: int) -> bytes:
    """What the seal is bound to: all that is known before the append."""
    return _PURPOSE + f"{stream.hex}\x00{form}\x00{version}".encode()
