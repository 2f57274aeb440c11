"""The snapshot of a user: its content and the name of its format."""

from typing import Final

import msgspec

from application.log.event_log import DraftSnapshot, StreamSnapshot
from application.users.states import UserAt
from domain.user.state import User

# Snapshots of another format are ignored. Each further field of a user is another format, because
# a process without the field leaves it out. Increase the 1 if `evolve` or an upcaster changes the
# state of the same events.
SNAPSHOT_FORMAT: Final = f"user/{1 + len(User.__struct_fields__) - 7}"

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(User).decode


class Unusable(Exception):
    """A snapshot of this format does not open or does not decode."""


def snapshot_of(user: User) -> DraftSnapshot:
    """The snapshot of a user."""
    return DraftSnapshot(SNAPSHOT_FORMAT, _encode(user))


def state_of(snapshot: StreamSnapshot) -> UserAt:
    """The state of a snapshot. Raises `Unusable`, which contains no value."""
    if snapshot.state is None:
        raise Unusable("does not open")
    try:
        user = _decode(snapshot.state)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Unusable("does not decode") from None
    return UserAt(
        user_id=snapshot.stream,
        user=user,
        version=snapshot.version,
        position=snapshot.position,
        created_at=snapshot.created_at,
        updated_at=snapshot.recorded_at,
    )
