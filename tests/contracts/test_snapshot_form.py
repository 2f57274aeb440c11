"""What a snapshot of a user holds is fixed for the name of its form: a golden file, byte by byte.

Where this fails, a release would take over states that it would not have folded itself: raise
`FORM`, and the golden file of the new form takes the place of the old one's.
"""

import json
from datetime import UTC, datetime
from typing import Final, cast
from uuid import UUID

import pytest

from application.users.snapshots import FORM, snapshot_of, state_of
from application.users.states import UserAt
from domain.user.events import UserEvent
from domain.user.state import User, fold
from infrastructure.event_store.serializer import to_event
from infrastructure.keys import MasterKeyRing
from tests.contracts.test_stored_forms import EVENT_ID, GOLDEN, STREAM, ring

STATES: Final = GOLDEN / f"snapshot_{FORM.replace('/', '_')}.json"
_FIRST: Final = "user.registered.v2"
_SUSPENDED: Final = [_FIRST, "user.suspended.v1", "user.deleted.v1"]
HISTORIES: Final[dict[str, list[str]]] = {
    **{
        path.stem: [path.stem] if "registered" in path.stem else [_FIRST, path.stem]
        for path in sorted(GOLDEN.glob("user.*.json"))
        if path.stem != "user.erased.v1"
    },
    "deleted while suspended": _SUSPENDED,
    "restored after that": [*_SUSPENDED, "user.restored.v1"],
}


def folded(history: str, keys: MasterKeyRing) -> User:
    """A user after stored events of any version."""
    cipher = keys.cipher(STREAM, keys.new_key(STREAM))
    events = [
        to_event(
            stem.rpartition(".v")[0],
            (GOLDEN / f"{stem}.json").read_bytes(),
            STREAM,
            EVENT_ID,
            cipher,
        )
        for stem in HISTORIES[history]
    ]
    user = fold(cast("list[UserEvent]", events))
    assert user is not None
    return user


def at(user: User, version: int = 7) -> UserAt:
    time = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
    return UserAt(
        user_id=UUID(int=1),
        user=user,
        version=version,
        position=90,
        created_at=time.replace(year=2020),
        updated_at=time,
    )


@pytest.mark.parametrize("history", HISTORIES)
def test_a_snapshot_holds_what_its_golden_file_says(history: str, master_keys: str) -> None:
    golden = json.loads(STATES.read_text())
    state = snapshot_of(at(folded(history, ring(master_keys)))).state
    assert state is not None
    assert state.decode() == golden[history]


@pytest.mark.parametrize("history", HISTORIES)
def test_a_state_is_the_same_after_a_snapshot(history: str, master_keys: str) -> None:
    state = at(folded(history, ring(master_keys)))
    assert state_of(snapshot_of(state)) == state


def test_there_is_one_golden_file_that_of_the_present_form() -> None:
    assert [*GOLDEN.glob("snapshot_*.json")] == [STATES]
