"""Limits of attributes, their equality, and merge patches."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.attributes import MAX_PATCH_BYTES, merged, parse_attributes, parse_patch, same_json
from domain.errors import InvalidValue

numbers = st.integers(-(2**53), 2**53) | st.floats(
    -(2.0**53), 2.0**53, allow_nan=False, allow_infinity=False
)
leaves = st.none() | st.booleans() | numbers | st.text(st.characters(codec="utf-8"), max_size=5)
json_values: st.SearchStrategy[Any] = st.recursive(
    leaves.filter(lambda leaf: not isinstance(leaf, str) or "\0" not in leaf),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=6,
)
objects = st.dictionaries(st.sampled_from("abcd"), json_values, max_size=4)


def nested(levels: int, empty: Any) -> dict[str, Any]:
    """An object with this many levels; the innermost one is `empty`."""
    value = empty
    for _ in range(levels - 2):
        value = [value]
    return {"deep": value}


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"a": None, "b": True, "c": 0, "d": -1.5, "e": "Łódź\n", "f": [1, [2]], "g": {"h": {}}},
        {"max": 2**53, "min": -(2.0**53)},
        {f"key-{number}": number for number in range(64)},
        {"k" * 128: "x"},
        nested(8, []),
        nested(8, {}),
        {"x": "é" * ((16 * 1024 - len('{"x":""}')) // 2)},
    ],
)
def test_attributes_within_the_limits_are_accepted(attributes: dict[str, Any]):
    assert parse_attributes(attributes) == attributes


@pytest.mark.parametrize(
    "attributes",
    [
        {f"key-{number}": number for number in range(65)},
        {"": 1},
        {"k" * 129: 1},
        {7: 1},
        {"a": {7: 1}},
        {"a": 2**53 + 1},
        {"a": -(2.0**54)},
        {"a": 10**400},
        {"a": float("nan")},
        {"a": [float("inf")]},
        {"a": "\0"},
        {"a": [{"b\0": 1}]},
        {"a": "\ud800"},
        {"\udfff": 1},
        {"a": b"bytes"},
        {"a": (1, 2)},
        nested(9, []),
        nested(9, {}),
        nested(5000, []),
        {"x": "é" * (8 * 1024)},
        # Postgres shows 326 digits for each.
        {"x": [5e-324] * 60},
        {"x": {str(n): -1.5e-300 for n in range(60)}},
        {"x": [1e-5] * 1650},
    ],
)
def test_attributes_beyond_the_limits_are_refused(attributes: dict[str, Any]):
    with pytest.raises(InvalidValue):
        parse_attributes(attributes)


def test_a_few_numbers_with_exponents_are_accepted():
    attributes = {"x": [5e-324, 1e15, 2.5e-7] * 12}
    assert parse_attributes(attributes) == attributes


def test_parsed_attributes_do_not_change_with_their_source():
    raw: dict[str, Any] = {"tags": ["a"]}
    parsed = parse_attributes(raw)
    raw["tags"].append("b")
    assert parsed == {"tags": ["a"]}


@given(json_values)
def test_a_value_is_the_same_after_a_round_trip_through_json(value: Any):
    assert same_json(value, json.loads(json.dumps(value)))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1, 1.0, True),
        (0.0, -0.0, True),
        (1, True, False),
        (0, False, False),
        (False, None, False),
        ("1", 1, False),
        ([1], [True], False),
        ([1, 2], [2, 1], False),
        ([1], [1, 1], False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1.0}, True),
        ({"a": {"b": [0]}}, {"a": {"b": [False]}}, False),
        ({"a": None}, {}, False),
        ([], {}, False),
    ],
)
def test_values_are_compared_as_json(one: Any, other: Any, same: bool):
    assert same_json(one, other) is same
    assert same_json(other, one) is same


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_the_examples_of_rfc_7396_hold(before: Any, patch: Any, after: Any):
    assert merged(before, patch) == after


@given(objects, objects)
def test_merging_twice_is_merging_once_and_changes_no_argument(before: Any, patch: Any):
    texts = json.dumps(before), json.dumps(patch)
    once = merged(before, patch)
    assert same_json(merged(once, patch), once)
    assert (json.dumps(before), json.dumps(patch)) == texts


def test_a_patch_that_is_nested_too_deeply_is_refused():
    patch: dict[str, Any] = {}
    for _ in range(5000):
        patch = {"a": patch}
    with pytest.raises(InvalidValue):
        merged({}, patch)


def test_a_patch_may_have_more_members_and_bytes_than_attributes():
    patch: dict[str, Any] = {f"key-{number}": None for number in range(2000)}
    assert parse_patch(patch) == patch


@pytest.mark.parametrize(
    "patch",
    [
        {"a": "x" * MAX_PATCH_BYTES},
        {"a": float("nan")},
        {"a": {"": None}},
        {"k" * 129: None},
        {"a": "\0"},
        nested(9, {}),
        nested(5000, {}),
    ],
)
def test_a_patch_beyond_the_limits_is_refused(patch: dict[str, Any]):
    with pytest.raises(InvalidValue):
        parse_patch(patch)


@given(json_values, json_values)
def test_values_are_the_same_as_json_or_differ_node_by_node(one: Any, other: Any):
    assert same_json(one, other) is node_by_node(one, other)


def node_by_node(one: Any, other: Any) -> bool:
    kinds: list[type] = [type(one), type(other)]
    if bool in kinds:
        return one is other
    if kinds == [dict, dict]:
        return one.keys() == other.keys() and all(node_by_node(one[key], other[key]) for key in one)
    if kinds == [list, list]:
        return len(one) == len(other) and all(map(node_by_node, one, other))
    return one == other
