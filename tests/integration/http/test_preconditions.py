"""If-Match on commands, If-None-Match on reads."""

from typing import Any

import pytest
from httpx2 import AsyncClient

from interfaces.http.protocol.refusals import MalformedRequest
from tests.support.http.directory import registered

BROKEN = ["", "3", '"3', "'3'", 'w/"3"', '"3" "4"', '*, "3"', '"a b"', '"3",x', ","]


@pytest.fixture
async def user(admin: AsyncClient) -> dict[str, Any]:
    """A user at version 2."""
    user = await registered(admin)
    return (await admin.patch(f"/v1/users/{user['id']}", json={"role": "owner"})).json()


@pytest.mark.parametrize(
    "tags", ['"2"', "*", '"1", "2"', '"1","2"', ', "2" ,,', 'W/"1", "2"', '"x", "2"', " * "]
)
async def test_a_command_is_applied_if_a_tag_matches(
    admin: AsyncClient, user: dict[str, Any], tags: str
) -> None:
    answer = await admin.post(f"/v1/users/{user['id']}/suspend", headers={"If-Match": tags})
    assert answer.status_code == 200
    assert answer.headers["ETag"] == '"3"'


@pytest.mark.parametrize("tags", ['"1"', 'W/"2"', '"02"', '"x"', '"1", "3"', '""', '"²"'])
async def test_a_command_is_refused_if_no_tag_matches(
    admin: AsyncClient, user: dict[str, Any], tags: str
) -> None:
    headers = {b"If-Match": tags.encode("latin-1")}
    answer = await admin.post(f"/v1/users/{user['id']}/suspend", headers=headers)
    assert answer.status_code == 412
    assert answer.json()["type"] == "/problems/version-conflict"
    assert answer.json()["version"] == 2


async def test_several_header_lines_are_one_list(admin: AsyncClient, user: dict[str, Any]) -> None:
    lines = [("If-Match", '"1"'), ("If-Match", '"2"')]
    answer = await admin.post(f"/v1/users/{user['id']}/suspend", headers=lines)
    assert answer.status_code == 200


@pytest.mark.parametrize("tags", BROKEN)
async def test_invalid_tags_are_malformed(
    admin: AsyncClient, user: dict[str, Any], tags: str
) -> None:
    path = f"/v1/users/{user['id']}"
    assert (await admin.delete(path, headers={"If-Match": tags})).status_code == 400
    assert (await admin.delete(path, headers={"If-None-Match": tags})).status_code == 400
    assert (await admin.get(path, headers={"If-None-Match": tags})).status_code == 400


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("If-Match", "If-Match must have at most 200 entity tags."),
        ("If-None-Match", "If-None-Match must have at most 200 entity tags."),
        ("Accept", "Accept must have at most 1,024 characters."),
    ],
)
async def test_a_header_with_countless_elements_is_malformed(
    admin: AsyncClient, user: dict[str, Any], name: str, detail: str
) -> None:
    elements = ",".join('"1"' for _ in range(15_000))
    answer = await admin.patch(
        f"/v1/users/{user['id']}", json={"role": "owner"}, headers={name: elements}
    )
    assert (answer.status_code, answer.json()["detail"]) == (400, detail)


async def test_a_long_row_of_separators_is_parsed_quickly(admin: AsyncClient) -> None:
    tags = '"1"' + ",   \t" * 10_000 + "x"
    answer = await admin.delete("/v1/users/none", headers={"If-Match": tags})
    assert answer.json()["detail"] == str(
        MalformedRequest('If-Match must be * or a list of entity tags such as "3".')
    )


@pytest.mark.parametrize("tags", ['"2"', 'W/"2"', "*", '"1", "2"'])
async def test_a_client_with_the_current_version_gets_no_body(
    admin: AsyncClient, user: dict[str, Any], tags: str
) -> None:
    answer = await admin.get(f"/v1/users/{user['id']}", headers={"If-None-Match": tags})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["ETag"] == '"2"'
    assert answer.headers["Rollbook-Position"] == "2"
    assert answer.headers["Cache-Control"] == "private, no-cache"


async def test_a_client_with_another_version_gets_the_user(
    admin: AsyncClient, user: dict[str, Any]
) -> None:
    path = f"/v1/users/{user['id']}"
    assert (await admin.get(path, headers={"If-None-Match": '"1"'})).json() == user
    past = await admin.get(path, params={"version": 1}, headers={"If-None-Match": '"1"'})
    assert past.status_code == 304


@pytest.mark.parametrize("tags", ['"2"', 'W/"2"', "*", '"1", "2"'])
async def test_a_command_is_refused_at_a_version_that_it_excludes(
    admin: AsyncClient, user: dict[str, Any], tags: str
) -> None:
    path = f"/v1/users/{user['id']}"
    for answer in (
        await admin.delete(path, headers={"If-None-Match": tags}),
        await admin.delete(path, headers={"If-None-Match": tags, "If-Match": '"2"'}),
    ):
        assert (answer.status_code, answer.json()["version"]) == (412, 2)
    assert (await admin.get(path)).json() == user


@pytest.mark.parametrize("tags", ['"1"', 'W/"1"', '"x"'])
async def test_a_command_is_applied_at_a_version_that_it_does_not_exclude(
    admin: AsyncClient, user: dict[str, Any], tags: str
) -> None:
    headers = {"If-None-Match": tags, "If-Match": '"2"'}
    answer = await admin.delete(f"/v1/users/{user['id']}", headers=headers)
    assert answer.status_code == 204


async def test_both_conditions_must_hold(admin: AsyncClient, user: dict[str, Any]) -> None:
    headers = {"If-None-Match": '"1"', "If-Match": '"1"'}
    answer = await admin.delete(f"/v1/users/{user['id']}", headers=headers)
    assert answer.status_code == 412
