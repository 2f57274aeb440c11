"""The snapshot of a user: its content and the name of its format."""

from typing import Final

import msgspec
from msgspec import Struct

from application.log.event_log import DraftSnapshot, StreamSnapshot
from application.users.setters import Setters
from application.users.states import UserAt
from domain.user.state import User

# Snapshots of another format are ignored. Each further field of a user is another format, because
# a process without the field leaves it out. Increase the 2 if `evolve` or an upcaster changes the
# state of the same events.
SNAPSHOT_FORMAT: Final = f"user/{2 + len(User.__struct_fields__) - 7}"


class _Stored(Struct, frozen=True):
    user: User
    setters: Setters


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(_Stored).decode


class Unusable(Exception):
    """A snapshot of this format does not open or does not decode."""


def snapshot_of(user: User, setters: Setters) -> DraftSnapshot:
    """The snapshot of a user, with the versions that set its fields."""
    return DraftSnapshot(SNAPSHOT_FORMAT, _encode(_Stored(user, setters)))


def state_of(snapshot: StreamSnapshot) -> UserAt:
    """The state of a snapshot. Raises `Unusable`, which contains no value."""
    if snapshot.state is None:
        raise Unusable("does not open")
    try:
        stored = _decode(snapshot.state)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Unusable("does not decode") from None
    return UserAt(
        user_id=snapshot.stream,
        user=stored.user,
        version=snapshot.version,
        position=snapshot.position,
        created_at=snapshot.created_at,
        updated_at=snapshot.recorded_at,
        setters=stored.setters,
    )
