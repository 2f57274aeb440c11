"""Every stored version of every event has a golden file, which today's folds replay in every form."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import asdict

from domain.catalogue import EVENT_TYPES
from domain.event import ERASED
from domain.user.state import fold
from infrastructure.event_store.serializer import to_event, to_sealed
from infrastructure.keys import PersonCipher
from projections.registry import PROJECTIONS
from tests.contracts.test_stored_forms import EVENT_ID, GOLDEN, STREAM, ring
from tests.support.views.histories import history

Pair = tuple[str, int]


def golden_pairs() -> dict[Pair, Path]:
    """The golden files by the type and the schema version of what they hold."""
    found: dict[Pair, Path] = {}
    for path in sorted(GOLDEN.glob("*.v*.json")):
        topic, _, version = path.stem.rpartition(".v")
        found[topic, int(version)] = path
    return found


def catalogue_pairs() -> set[Pair]:
    """Every version that any release wrote: none is ever taken out of the catalogue."""
    return {
        (topic, version)
        for topic, event_type in EVENT_TYPES.items()
        for version in range(1, event_type.schema_version + 1)
    }


PAIRS: Final = golden_pairs()
each_pair = pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: "{}.v{}".format(*pair))


@pytest.fixture
def cipher(master_keys: str) -> PersonCipher:
    keys = ring(master_keys)
    return keys.cipher(STREAM, keys.new_key(STREAM))


def test_the_golden_files_are_the_versions_of_the_catalogue_and_no_others() -> None:
    assert PAIRS.keys() == catalogue_pairs()


@each_pair
def test_a_golden_file_says_its_own_version(pair: Pair) -> None:
    assert json.loads(PAIRS[pair].read_bytes()).get("v", 1) == pair[1]


@each_pair
@pytest.mark.parametrize("erased", [False, True], ids=["open", "erased"])
def test_every_stored_version_is_replayed_by_every_fold(
    pair: Pair, erased: bool, cipher: PersonCipher
) -> None:
    events = [stored(each, None if erased else cipher) for each in pairs_to(pair)]
    assert fold(events) is not None
    for projection in PROJECTIONS:
        view: Any = None
        for each in history(*events):
            view = projection.evolve(view, each)
        if projection.contribution is not None:
            assert projection.contribution(view)
    is_gone = erased and "sealed" in json.loads(PAIRS[pair].read_bytes())
    event = events[-1]
    assert all((getattr(event, name) is ERASED) == is_gone for name in event.personal)


@each_pair
@pytest.mark.parametrize("erased", [False, True], ids=["sealed", "erased"])
def test_every_stored_version_is_passed_on_unopened_in_todays_shape(
    pair: Pair, erased: bool, cipher: PersonCipher
) -> None:
    topic, _ = pair
    state = PAIRS[pair].read_bytes()
    form = json.loads(state)
    passed_on = to_sealed(topic, state, is_erased=erased)
    assert (passed_on.type, passed_on.schema) == (topic, EVENT_TYPES[topic].schema_version)
    assert passed_on.value == (None if erased else form.get("sealed"))
    opened = asdict(stored(pair, cipher))
    open_names = opened.keys() - (EVENT_TYPES[topic].personal if "sealed" in form else set())
    shown = {name: value for name, value in passed_on.fields.items() if name in open_names}
    assert shown == {name: opened[name] for name in open_names}


def pairs_to(pair: Pair) -> list[Pair]:
    """The shortest history that ends with an event of that version."""
    if pair[0] == "user.registered":
        return [pair]
    return [("user.registered", EVENT_TYPES["user.registered"].schema_version), pair]


def stored(pair: Pair, cipher: PersonCipher | None) -> Any:
    return to_event(pair[0], PAIRS[pair].read_bytes(), STREAM, EVENT_ID, cipher)
