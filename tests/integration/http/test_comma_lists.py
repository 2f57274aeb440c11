"""A filter takes several values; a comma may also be part of one."""

import pytest
from httpx2 import AsyncClient
from hypothesis import given
from hypothesis import strategies as st

from interfaces.http.protocol.fields import list_of_one, split_list
from tests.support.http.directory import registered

texts = st.text(alphabet="a\\,", max_size=8)


@pytest.mark.parametrize(
    ("written", "values"),
    [
        ("", [""]),
        ("a,b", ["a", "b"]),
        (",", ["", ""]),
        (r"a\,b", ["a,b"]),
        (r"a\,,b", ["a,", "b"]),
        (r"a\\,b", ["a\\", "b"]),
        (r"a\\\,b", [r"a\,b"]),
        (r"CORP\ada,CORP\ben", [r"CORP\ada", r"CORP\ben"]),
        (r"\\host\share", [r"\\host\share"]),
        ("a\\", ["a\\"]),
        ("a\nb\\,c", ["a\nb,c"]),
    ],
)
def test_a_backslash_before_a_comma_makes_it_part_of_the_value(
    written: str, values: list[str]
) -> None:
    assert split_list(written) == values


@pytest.mark.parametrize("element", ["a", "a\\\\", "a\\,b"])
def test_a_list_beyond_the_limit_is_split_no_further(element: str) -> None:
    values = split_list(",".join([element] * 10_000), 200)
    assert len(values) == 201
    assert len(set(values[:200])) == 1
    assert values[200].count("a") == 9_800


@given(texts)
def test_a_list_of_one_value_is_read_as_that_value(value: str) -> None:
    assert split_list(list_of_one(value)) == [value]


@pytest.mark.parametrize(
    ("filter_value", "found"),
    [
        (r"Kovács\, Éva", ["Kovács, Éva"]),
        (r"CORP\ada", [r"CORP\ada"]),
        (r"CORP\ada,Kovács\, Éva", ["Kovács, Éva", r"CORP\ada"]),
        (r"odd\\\,one", [r"odd\,one"]),
        ("Kovács, Éva", []),
    ],
)
async def test_an_external_id_with_commas_and_backslashes_is_found(
    admin: AsyncClient, filter_value: str, found: list[str]
) -> None:
    for number, external_id in enumerate(["Kovács, Éva", r"CORP\ada", r"odd\,one"]):
        await registered(admin, email=f"user{number}@example.org", external_id=external_id)
    answer = await admin.get("/v1/users", params={"external_id": filter_value})
    assert [user["external_id"] for user in answer.json()["items"]] == found
