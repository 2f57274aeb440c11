"""Stored forms never change: golden files of each event type and one sealed row, byte by byte.

A change here breaks every existing log. A new schema version gets a new file beside the old one.
The old file must still load: it is never edited.
"""

import base64
import json
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest

from application.keys.ports import SealBroken
from application.log.event_log import StreamKey
from domain.catalogue import EVENT_TYPES
from domain.event import ERASED, Event
from domain.token.claims import SCOPES
from domain.user.events import (
    PreviousEmail,
    PreviousExternalId,
    PreviousName,
    PreviousRole,
    UserAttributesChanged,
    UserDeleted,
    UserEmailChanged,
    UserErased,
    UserExternalIdChanged,
    UserRegistered,
    UserReinstated,
    UserRenamed,
    UserRestored,
    UserRoleChanged,
    UserSuspended,
)
from infrastructure.event_store.serializer import (
    MalformedState,
    UnknownSchemaVersion,
    UnknownTopic,
    to_event,
    to_state,
)
from infrastructure.keys import MasterKeyRing, MasterKeys
from tests.support.log.access_events import ACCESS_EXAMPLES
from tests.support.log.token_events import TOKEN_EXAMPLES
from tests.support.log.webhook_events import WEBHOOK_EXAMPLES

GOLDEN: Final = Path(__file__).with_name("golden")
STREAM: Final = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
EVENT_ID: Final = UUID("01890a5d-ac97-7000-8000-000000000001")
INDEX_KEY: Final = bytes(range(32, 64))

GOLDEN_SECRET: Final = "rbk_0El6XFXwsUFD8J2vGxsaboW7rZYnQRBP5d9erwRwd294bLcIH"
GOLDEN_CREDENTIAL: Final = "token:033cabbbc4d6c77f86e0f73b7c3b5744d253685fbdae6e6cd2e09516556ea6f5"
GOLDEN_CLAIMS: Final = [
    "4a2d085053255a492f9887d1f2d3f38442cb78a1e80248d177f0e7e51feb378a",
    "2c32e84087df7665c0a14d6eba82ddfd3014a901c3e46ffc4a321d18b512780a",
]

EXAMPLES: Final[dict[str, Event]] = {
    "user.registered.v2": UserRegistered(
        name="Åsa Öberg",
        email="asa@bücher.example",
        role="member",
        external_id="emp-0042",
        attributes={"team": "Kartläggning", "floor": 3, "tags": ["a", None, True], "ratio": 0.5},
    ),
    "user.renamed.v1": UserRenamed(name="李雷", previous=PreviousName(name="Åsa Öberg")),
    "user.email_changed.v1": UserEmailChanged(
        email="lei.li@example.com", previous=PreviousEmail(email="asa@bücher.example")
    ),
    "user.external_id_changed.v1": UserExternalIdChanged(
        external_id=None, previous=PreviousExternalId(external_id="emp-0042")
    ),
    "user.role_changed.v1": UserRoleChanged(role="owner", previous=PreviousRole(role="member")),
    "user.attributes_changed.v1": UserAttributesChanged(
        set={"floor": 4}, removed=("tags",), previous={"floor": 3, "tags": ["a", None, True]}
    ),
    "user.suspended.v1": UserSuspended(reason="on leave"),
    "user.reinstated.v1": UserReinstated(reason="back"),
    "user.deleted.v1": UserDeleted(reason="left"),
    "user.restored.v1": UserRestored(),
    "user.erased.v1": UserErased(reason="retention"),
    **WEBHOOK_EXAMPLES,
    **ACCESS_EXAMPLES,
    **TOKEN_EXAMPLES,
}


def counted_bytes() -> Callable[[int], bytes]:
    """Stands in for random bytes: each call gives the next byte value, repeated."""
    numbers = count(1)

    def next_bytes(length: int) -> bytes:
        return bytes([next(numbers)]) * length

    return next_bytes


def ring(masters: str) -> MasterKeyRing:
    return MasterKeyRing(MasterKeys.parse(masters), INDEX_KEY, counted_bytes())


def stored_key(golden: dict[str, Any]) -> StreamKey:
    key = golden["key"]
    return StreamKey(master_id=key["master_id"], wrapped=base64.b64decode(key["wrapped"]))


def test_every_event_type_has_a_golden_file_of_its_current_version() -> None:
    current = {f"{topic}.v{event.schema_version}" for topic, event in EVENT_TYPES.items()}
    assert current == EXAMPLES.keys()
    assert current <= {path.stem for path in GOLDEN.glob("*.v*.json")}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_event_is_stored_as_in_its_golden_file(name: str, master_keys: str) -> None:
    keys = ring(master_keys)
    cipher = keys.cipher(STREAM, keys.new_key(STREAM))
    state = to_state(EXAMPLES[name], STREAM, EVENT_ID, cipher)
    assert state == (GOLDEN / f"{name}.json").read_bytes()


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.v*.json")), ids=lambda path: path.stem)
def test_every_golden_file_loads_in_this_release(path: Path, master_keys: str) -> None:
    topic, _, version = path.stem.rpartition(".v")
    keys = ring(master_keys)
    cipher = keys.cipher(STREAM, keys.new_key(STREAM))
    event = to_event(topic, path.read_bytes(), STREAM, EVENT_ID, cipher)
    if int(version) == EVENT_TYPES[topic].schema_version:
        assert event == EXAMPLES[path.stem]
    else:
        assert isinstance(event, EVENT_TYPES[topic])


def test_a_registration_of_version_1_had_no_attributes(master_keys: str) -> None:
    keys = ring(master_keys)
    cipher = keys.cipher(STREAM, keys.new_key(STREAM))
    state = (GOLDEN / "user.registered.v1.json").read_bytes()
    event = to_event("user.registered", state, STREAM, EVENT_ID, cipher)
    assert event == UserRegistered(name="Åsa Öberg", email="asa@example.com", role="member")


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.v*.json")), ids=lambda path: path.stem)
def test_every_golden_file_loads_without_its_key(path: Path) -> None:
    topic = path.stem.rpartition(".v")[0]
    event = to_event(topic, path.read_bytes(), STREAM, EVENT_ID, None)
    sealed = b'"sealed"' in path.read_bytes()
    assert all((getattr(event, name) is ERASED) == sealed for name in event.personal)


def test_a_sealed_row_opens_as_in_its_golden_file(master_keys: str) -> None:
    golden = json.loads((GOLDEN / "sealed_row.json").read_bytes())
    keys = ring(master_keys)
    assert keys.new_key(STREAM) == stored_key(golden)
    assert base64.b64encode(keys.claim("email", "asa@example.com")).decode() == golden["claim"]
    cipher = keys.cipher(STREAM, stored_key(golden))
    state = json.dumps(golden["state"], separators=(",", ":")).encode()
    assert (
        to_event(golden["topic"], state, STREAM, EVENT_ID, cipher)
        == (EXAMPLES["user.registered.v2"])
    )


def test_the_secret_of_a_webhook_never_changes(master_keys: str) -> None:
    """Receivers know it, and it is stored nowhere."""
    assert (
        ring(master_keys).webhook_secret(STREAM, 3)
        == "whsec_+S2Ta2RutgYaIEsb7w6veotPFdO4IuYzXVHe9eW8dno="
    )


def test_the_stream_of_an_access_event_never_changes_and_depends_on_the_index_key(
    master_keys: str,
) -> None:
    """Two releases side by side record an opening once, and no caller can tell the id beforehand."""
    masters = MasterKeys.parse(master_keys)
    stream = MasterKeyRing(masters, INDEX_KEY).access_stream("opening")
    assert (stream.version, stream) == (8, UUID("f432e9cc-5d65-89df-91a6-793748d03df4"))
    assert stream != MasterKeyRing(masters, bytes(32)).access_stream("opening")
    assert stream != MasterKeyRing(masters, INDEX_KEY).import_id("opening")


def test_the_credential_and_the_claim_of_a_token_never_change(master_keys: str) -> None:
    """Callers have the secret, and the database has only the claim."""
    keys = ring(master_keys)
    secret = keys.new_token_secret()
    assert secret == GOLDEN_SECRET
    assert keys.token_credential(secret) == GOLDEN_CREDENTIAL
    claims = [keys.claim(scope, keys.token_credential(secret)).hex() for scope in SCOPES]
    assert claims == GOLDEN_CLAIMS


def test_sealed_data_opens_only_in_its_own_stream_and_event(master_keys: str) -> None:
    keys = ring(master_keys)
    cipher = keys.cipher(STREAM, keys.new_key(STREAM))
    state = to_state(EXAMPLES["user.renamed.v1"], STREAM, EVENT_ID, cipher)
    other = UUID(int=EVENT_ID.int + 1)
    for stream, event_id in ((other, EVENT_ID), (STREAM, other)):
        with pytest.raises(SealBroken):
            to_event("user.renamed", state, stream, event_id, cipher)


def test_the_id_of_an_import_key_never_changes_and_depends_on_the_index_key(
    master_keys: str,
) -> None:
    masters = MasterKeys.parse(master_keys)
    made = MasterKeyRing(masters, INDEX_KEY).import_id("external_id:e-1042")
    assert (made.version, made) == (8, UUID("54947828-f6cb-82f7-934c-f64cfeabf5bc"))
    assert made != MasterKeyRing(masters, bytes(32)).import_id("external_id:e-1042")


def test_no_personal_data_is_stored_in_the_clear(master_keys: str) -> None:
    keys = ring(master_keys)
    cipher = keys.cipher(STREAM, keys.new_key(STREAM))
    for event in EXAMPLES.values():
        state = to_state(event, STREAM, EVENT_ID, cipher).decode()
        for personal in ("sa ", "asa@", "emp-", "Kart", "李", "leave", "left", "floor"):
            assert personal not in state


def test_an_unreadable_event_is_reported_without_its_values() -> None:
    with pytest.raises(UnknownTopic):
        to_event("user.promoted", b"{}", STREAM, EVENT_ID, None)
    with pytest.raises(UnknownTopic):
        to_event("this:s", b"{}", STREAM, EVENT_ID, None)
    assert "this" not in sys.modules, "a topic was imported as a module"
    with pytest.raises(UnknownSchemaVersion):
        to_event("user.role_changed", b'{"data":{},"v":9}', STREAM, EVENT_ID, None)
    for broken in (b"", b"{}", b'{"data":{"role":"secret"}}', b'{"data":{"role":7}}'):
        with pytest.raises(MalformedState) as refused:
            to_event("user.role_changed", broken, STREAM, EVENT_ID, None)
        assert "secret" not in str(refused.value)
