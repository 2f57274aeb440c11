"""The content of a user snapshot is fixed for the name of its format: a golden file, byte by byte.

If this fails, a release would load states that its own fold would not give: raise
`SNAPSHOT_FORMAT`, and replace the golden file by one of the new format. A further field raises it.
"""

import json
from datetime import UTC, datetime
from typing import Final

import pytest

from application.log.event_log import StreamSnapshot
from application.users.history import folded as fold_users
from application.users.snapshots import SNAPSHOT_FORMAT, snapshot_of, state_of
from application.users.states import UserAt
from infrastructure.event_store.serializer import to_event
from infrastructure.keys import MasterKeyRing
from tests.contracts.test_stored_forms import EVENT_ID, GOLDEN, STREAM, ring
from tests.support.views.histories import history as recorded

STATES: Final = GOLDEN / f"snapshot_{SNAPSHOT_FORMAT.replace('/', '_')}.json"
AT: Final = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
_FIRST: Final = "user.registered.v2"
_SUSPENDED: Final = [_FIRST, "user.suspended.v1", "user.deleted.v1"]
HISTORIES: Final[dict[str, list[str]]] = {
    **{
        path.stem: [path.stem] if "registered" in path.stem else [_FIRST, path.stem]
        for path in sorted(GOLDEN.glob("user.*.json"))
        if not path.stem.startswith("user.erased")
    },
    "deleted while suspended": _SUSPENDED,
    "restored after that": [*_SUSPENDED, "user.restored.v1"],
}


def folded(history: str, keys: MasterKeyRing) -> UserAt:
    """A user folded from stored events of any version."""
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
    state = fold_users(None, recorded(*events))
    assert isinstance(state, UserAt)
    return state


def stored(state: bytes) -> StreamSnapshot:
    return StreamSnapshot(
        stream=STREAM,
        format=SNAPSHOT_FORMAT,
        version=7,
        position=90,
        created_at=AT.replace(year=2020),
        recorded_at=AT,
        state=state,
    )


@pytest.mark.parametrize("history", HISTORIES)
def test_a_snapshot_is_stored_as_in_its_golden_file(history: str, master_keys: str) -> None:
    golden = json.loads(STATES.read_text())
    user = folded(history, ring(master_keys))
    state = snapshot_of(user.user, user.setters).state
    assert state.decode() == golden[history]


@pytest.mark.parametrize("history", HISTORIES)
def test_a_state_is_the_same_when_restored_from_its_snapshot(
    history: str, master_keys: str
) -> None:
    user = folded(history, ring(master_keys))
    state = state_of(stored(snapshot_of(user.user, user.setters).state))
    assert (state.user, state.setters) == (user.user, user.setters)
    assert (state.version, state.updated_at) == (7, AT)


def test_a_field_with_a_default_may_be_absent_or_stored(master_keys: str) -> None:
    user = folded(_FIRST, ring(master_keys))
    whole = json.loads(snapshot_of(user.user, user.setters).state)
    whole["user"]["before_deletion"] = "active"
    assert state_of(stored(json.dumps(whole).encode())).user == user.user


def test_the_only_golden_file_is_that_of_the_current_format() -> None:
    assert [*GOLDEN.glob("snapshot_*.json")] == [STATES]
