"""What a snapshot of a user holds, and the name of that form."""

from typing import Final

import msgspec

from application.log.event_log import StreamSnapshot
from application.users.states import UserAt
from domain.user.state import User

# Raised whenever `User` changes, or what `evolve` or an upcaster makes of the same events: those of
# another form are passed over.
FORM: Final = "user/1"

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(User).decode


class Unusable(Exception):
    """A snapshot of this form does not open or does not decode."""


def snapshot_of(state: UserAt) -> StreamSnapshot:
    """The state as it is kept aside."""
    return StreamSnapshot(
        stream=state.user_id,
        form=FORM,
        version=state.version,
        position=state.position,
        created_at=state.created_at,
        recorded_at=state.updated_at,
        state=_encode(state.user),
    )


def state_of(snapshot: StreamSnapshot) -> UserAt:
    """The state that was kept aside. Raises `Unusable`, which names no value."""
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
