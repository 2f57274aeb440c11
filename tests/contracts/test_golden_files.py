"""Every stored version of every event has a golden file, and the current folds replay it."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import asdict

from domain.catalogue import EVENT_TYPES, kind_of
from domain.event import ERASED
from domain.token import state as token_state
from domain.user import state as user_state
from domain.webhook import state as webhook_state
from infrastructure.event_store.serializer import to_event, to_sealed
from infrastructure.keys import PersonCipher
from projections.registry import PROJECTIONS
from tests.contracts.test_stored_forms import EVENT_ID, GOLDEN, STREAM, ring
from tests.support.views.documented import documented
from tests.support.views.histories import history

Pair = tuple[str, int]


def golden_pairs() -> dict[Pair, Path]:
    """The golden files by event type and schema version."""
    found: dict[Pair, Path] = {}
    for path in sorted(GOLDEN.glob("*.v*.json")):
        topic, _, version = path.stem.rpartition(".v")
        found[topic, int(version)] = path
    return found


def catalogue_pairs() -> set[Pair]:
    """Every version that any release wrote; the catalogue never loses one."""
    return {
        (topic, version)
        for topic, event_type in EVENT_TYPES.items()
        for version in range(1, event_type.schema_version + 1)
    }


PAIRS: Final = golden_pairs()
FIRST: Final = {"user": "user.registered", "webhook": "webhook.created", "token": "token.issued"}
FOLDS: Final[dict[str, Callable[[list[Any]], object]]] = {
    "user": user_state.fold,
    "webhook": webhook_state.fold,
    # No state follows from them.
    "access": lambda events: events[-1],
    "token": token_state.fold,
}
each_pair = pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: "{}.v{}".format(*pair))


@pytest.fixture
def cipher(master_keys: str) -> PersonCipher:
    keys = ring(master_keys)
    return keys.cipher(STREAM, keys.new_key(STREAM))


def test_the_golden_files_are_the_versions_of_the_catalogue_and_no_others() -> None:
    assert PAIRS.keys() == catalogue_pairs()


@each_pair
def test_a_golden_file_contains_its_own_version(pair: Pair) -> None:
    assert json.loads(PAIRS[pair].read_bytes()).get("v", 1) == pair[1]


@each_pair
@pytest.mark.parametrize("erased", [False, True], ids=["open", "erased"])
def test_every_fold_replays_every_stored_version(
    pair: Pair, erased: bool, cipher: PersonCipher
) -> None:
    events = [stored(each, None if erased else cipher) for each in pairs_to(pair)]
    kind = kind_of(pair[0])
    assert FOLDS[kind](events) is not None
    for projection in (*PROJECTIONS, documented()):
        view: Any = None
        for each in history(*events) if kind in projection.kinds else ():
            view = projection.evolve(view, each)
        if projection.contribution is not None and view is not None:
            counts = projection.contribution(view)
            assert all(isinstance(count, int) for count in counts.values())
    is_erased = erased and "sealed" in json.loads(PAIRS[pair].read_bytes())
    event = events[-1]
    assert all((getattr(event, name) is ERASED) == is_erased for name in event.personal)


@each_pair
@pytest.mark.parametrize("erased", [False, True], ids=["sealed", "erased"])
def test_every_stored_version_is_published_unopened_in_the_current_shape(
    pair: Pair, erased: bool, cipher: PersonCipher
) -> None:
    topic, _ = pair
    state = PAIRS[pair].read_bytes()
    stored_form = json.loads(state)
    published = to_sealed(topic, state, is_erased=erased)
    assert (published.type, published.schema) == (topic, EVENT_TYPES[topic].schema_version)
    value = base64.b64decode(stored_form.get("sealed", "")) or None
    assert published.value == (None if erased else value)
    opened = asdict(stored(pair, cipher))
    open_names = opened.keys() - (EVENT_TYPES[topic].personal if "sealed" in stored_form else set())
    open_fields = {name: value for name, value in published.fields.items() if name in open_names}
    assert open_fields == {name: opened[name] for name in open_names}


def pairs_to(pair: Pair) -> list[Pair]:
    """The shortest history that ends with this version of the event."""
    first = FIRST.get(kind_of(pair[0]), pair[0])
    return [pair] if pair[0] == first else [(first, EVENT_TYPES[first].schema_version), pair]


def stored(pair: Pair, cipher: PersonCipher | None) -> Any:
    return to_event(pair[0], PAIRS[pair].read_bytes(), STREAM, EVENT_ID, cipher)
