"""The life of a user over HTTP."""

from typing import Any
from uuid import UUID

import pytest
from httpx2 import AsyncClient, Response
from uuid_utils.compat import uuid7

from application.context import Context
from domain.user.commands import EraseUser
from tests.support.http.directory import ADA, Directory, registered

UNKNOWN_USER = "/v1/users/018f0000-0000-7000-8000-00000000ffff"


def path_of(user: dict[str, Any]) -> str:
    return f"/v1/users/{user['id']}"


def slug(answer: Response) -> str:
    return answer.json()["type"].removeprefix("/problems/")


async def erase(directory: Directory, user: dict[str, Any]) -> None:
    context = Context(actor="system:test", correlation_id="erasure")
    await directory.services.commands.execute(UUID(user["id"]), EraseUser(), context)


async def test_a_registered_user_is_shown_as_the_contract_says(admin: AsyncClient) -> None:
    answer = await admin.post("/v1/users", json=ADA)
    user = answer.json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == path_of(user)
    assert answer.headers["ETag"] == '"1"'
    assert answer.headers["Rollbook-Position"] == "1"
    assert user == {
        "id": user["id"],
        "external_id": None,
        "name": "Ada Lovelace",
        "email": "ada@example.org",
        "role": "member",
        "status": "active",
        "attributes": {},
        "version": 1,
        "created_at": user["created_at"],
        "updated_at": user["created_at"],
        "personal": "open",
    }
    assert (await admin.get(path_of(user))).json() == user


async def test_an_id_given_by_the_client_is_used_once(admin: AsyncClient) -> None:
    own = str(uuid7())
    assert (await registered(admin, id=own.upper()))["id"] == own
    again = await admin.post("/v1/users", json={**ADA, "email": "other@example.org", "id": own})
    assert (again.status_code, slug(again)) == (409, "user-exists")


async def test_an_address_belongs_to_one_user_in_any_spelling(
    admin: AsyncClient, writer: AsyncClient
) -> None:
    holder = await registered(admin)
    body = {**ADA, "email": " ADA@Example.org "}
    to_admin = await admin.post("/v1/users", json=body)
    to_writer = await writer.post("/v1/users", json=body)
    assert (to_admin.status_code, slug(to_admin)) == (409, "email-taken")
    assert to_admin.json()["holder"] == holder["id"]
    assert (to_writer.status_code, slug(to_writer)) == (409, "email-taken")
    assert "holder" not in to_writer.json()


async def test_an_external_id_belongs_to_one_user(admin: AsyncClient) -> None:
    await registered(admin, external_id="hr-1")
    body = {**ADA, "email": "other@example.org", "external_id": "hr-1"}
    answer = await admin.post("/v1/users", json=body)
    assert (answer.status_code, slug(answer)) == (409, "external-id-taken")


async def test_replacing_sets_all_five_fields(admin: AsyncClient) -> None:
    user = await registered(admin, external_id="hr-1", attributes={"team": "a"})
    body = {
        "name": "Ada King",
        "email": "king@example.org",
        "role": "owner",
        "external_id": None,
        "attributes": {"team": "b"},
    }
    answer = await admin.put(path_of(user), json=body)
    assert answer.status_code == 200
    assert answer.json().items() >= body.items()
    assert answer.headers["ETag"] == f'"{answer.json()["version"]}"'


@pytest.mark.parametrize("media_type", ["application/json", "application/merge-patch+json"])
async def test_a_merge_patch_changes_what_it_names(admin: AsyncClient, media_type: str) -> None:
    user = await registered(admin, external_id="hr-1", attributes={"team": "a", "floor": 2})
    answer = await admin.patch(
        path_of(user),
        content=b'{"role": "owner", "external_id": null, "attributes": {"floor": null, "x": 1}}',
        headers={"Content-Type": media_type},
    )
    changed = answer.json()
    assert answer.status_code == 200
    assert changed["name"] == user["name"]
    assert changed["role"] == "owner"
    assert changed["external_id"] is None
    assert changed["attributes"] == {"team": "a", "x": 1}


async def test_null_is_refused_for_required_fields(admin: AsyncClient) -> None:
    user = await registered(admin)
    body = {"name": None, "email": None, "role": None, "attributes": None}
    answer = await admin.patch(path_of(user), json=body)
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) == 4


async def test_attributes_are_checked_after_merging(admin: AsyncClient) -> None:
    user = await registered(admin, attributes={f"a{number}": 1 for number in range(60)})
    patch = {"attributes": {f"b{number}": 1 for number in range(5)}}
    answer = await admin.patch(path_of(user), json=patch)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "#/attributes"


async def test_a_change_that_changes_nothing_succeeds_and_records_nothing(
    admin: AsyncClient,
) -> None:
    user = await registered(admin)
    answer = await admin.patch(path_of(user), json={"name": ADA["name"]})
    assert answer.status_code == 200
    assert answer.json() == user


async def test_suspending_and_reinstating(admin: AsyncClient) -> None:
    user = await registered(admin)
    suspended = await admin.post(f"{path_of(user)}/suspend", json={"reason": "on leave"})
    assert suspended.json()["status"] == "suspended"
    again = await admin.post(f"{path_of(user)}/suspend")
    assert again.json() == suspended.json()
    reinstated = await admin.post(f"{path_of(user)}/reinstate")
    assert reinstated.json()["status"] == "active"


async def test_a_deleted_user_is_gone_but_can_be_deleted_again_and_restored(
    admin: AsyncClient,
) -> None:
    user = await registered(admin)
    for _ in range(2):
        deleted = await admin.delete(path_of(user))
        assert (deleted.status_code, deleted.content) == (204, b"")
        assert deleted.headers["Rollbook-Position"] == "2"
    for answer in (
        await admin.get(path_of(user)),
        await admin.patch(path_of(user), json={"name": "Ada"}),
        await admin.post(f"{path_of(user)}/suspend"),
    ):
        assert (answer.status_code, slug(answer)) == (410, "user-deleted")
        assert answer.json()["version"] == 2
        assert answer.json()["since"].endswith("Z")
    restored = await admin.post(f"{path_of(user)}/restore")
    assert restored.status_code == 200
    assert restored.json()["status"] == "active"


async def test_a_user_is_not_restored_once_the_address_is_taken(admin: AsyncClient) -> None:
    user = await registered(admin)
    await admin.delete(path_of(user))
    await registered(admin)
    answer = await admin.post(f"{path_of(user)}/restore")
    assert (answer.status_code, slug(answer)) == (409, "email-taken")


async def test_an_erased_user_is_gone_for_every_request_except_deletion(
    directory: Directory, admin: AsyncClient
) -> None:
    user = await registered(admin)
    await erase(directory, user)
    for answer in (
        await admin.get(path_of(user)),
        await admin.get(path_of(user), params={"version": 1}),
        await admin.put(
            path_of(user), json={**ADA, "role": "x", "external_id": None, "attributes": {}}
        ),
        await admin.post(f"{path_of(user)}/restore"),
    ):
        assert (answer.status_code, slug(answer)) == (410, "user-erased")
        assert answer.json()["version"] == 2
    assert (await admin.delete(path_of(user))).status_code == 204


async def test_an_unknown_user_is_not_found(admin: AsyncClient) -> None:
    for answer in (
        await admin.get(UNKNOWN_USER),
        await admin.get(UNKNOWN_USER, params={"version": 1}),
        await admin.delete(UNKNOWN_USER),
        await admin.patch(UNKNOWN_USER, json={}),
        await admin.get("/v1/users/no-uuid"),
        await admin.post("/v1/users/no-uuid/suspend"),
    ):
        assert (answer.status_code, slug(answer)) == (404, "not-found")


async def test_the_past_is_shown_by_version_and_by_time(admin: AsyncClient) -> None:
    user = await registered(admin)
    renamed = (await admin.patch(path_of(user), json={"name": "Ada King"})).json()
    await admin.delete(path_of(user))
    by_version = await admin.get(path_of(user), params={"version": 1})
    assert by_version.json() == user
    assert by_version.headers["ETag"] == '"1"'
    assert by_version.headers["Rollbook-Position"] == "3"
    by_time = await admin.get(path_of(user), params={"at": renamed["updated_at"]})
    assert by_time.json() == renamed
    deleted = await admin.get(path_of(user), params={"version": 3})
    assert deleted.json()["status"] == "deleted"


@pytest.mark.parametrize(
    "at",
    [
        "2999-01-01T00:00:00Z",
        "2999-01-01t00:00:00.123456789z",
        "2999-01-01T00:00:00%2B01:00",
        "2999-01-01T00:00:00+01:00",
        "2999-01-01T00:00:00-23:59",
    ],
)
async def test_a_time_may_have_any_offset(admin: AsyncClient, at: str) -> None:
    user = await registered(admin)
    assert (await admin.get(f"{path_of(user)}?at={at}")).json() == user


@pytest.mark.parametrize(
    ("query", "status", "parameter"),
    [
        ("at=2001-01-01T00:00:00Z", 404, None),
        ("version=7", 404, None),
        ("version=0", 422, "version"),
        ("version=1.0", 422, "version"),
        ("version=", 422, "version"),
        ("version=1&at=2026-01-01T00:00:00Z", 422, "version"),
        ("at=yesterday", 422, "at"),
        ("at=2026-02-30T00:00:00Z", 422, "at"),
        ("at=2026-01-01T00:00:00", 422, "at"),
        ("at=0001-01-01T00:00:00%2B23:00", 422, "at"),
        ("depth=1", 422, "depth"),
    ],
)
async def test_a_past_version_or_time_that_does_not_exist_is_refused(
    admin: AsyncClient, query: str, status: int, parameter: str | None
) -> None:
    user = await registered(admin)
    answer = await admin.get(f"{path_of(user)}?{query}")
    assert answer.status_code == status
    if parameter:
        assert [error["pointer"] for error in answer.json()["errors"]] == [parameter]


async def test_commands_take_no_parameters(admin: AsyncClient) -> None:
    answer = await admin.post("/v1/users?dry_run=1", json=ADA)
    assert answer.json()["errors"] == [{"pointer": "dry_run", "detail": "Is not known here."}]
