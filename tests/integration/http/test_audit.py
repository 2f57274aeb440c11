"""The audit over HTTP: which actor changed what, and which callers may read it."""

from typing import Any

from httpx2 import AsyncClient

from tests.integration.http.test_users import UNKNOWN_USER, path_of, slug
from tests.support.http.directory import Directory, registered

SEEN = {
    "name": {"from": None, "to": "Ada Lovelace"},
    "email": {"from": None, "to": "ada@example.org"},
    "role": {"from": None, "to": "member"},
    "external_id": {"from": None, "to": None},
    "attributes": {"from": None, "to": {"team": "engines"}},
    "status": {"from": None, "to": "active"},
}


async def audit(client: AsyncClient, query: str = "") -> list[dict[str, Any]]:
    answer = await client.get(f"/v1/audit{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


async def changes(client: AsyncClient, path: str) -> list[tuple[str, Any]]:
    """The changes of a user, oldest first."""
    answer = await client.get(f"{path}/history")
    assert answer.status_code == 200, answer.text
    return [(item["type"], item["changes"]) for item in reversed(answer.json()["items"])]


async def test_an_item_has_actor_changes_and_time(admin: AsyncClient) -> None:
    headers = {"X-Request-ID": "hiring-7", "Rollbook-On-Behalf-Of": "hr"}
    answer = await admin.post(
        "/v1/users",
        json={
            "name": "Ada Lovelace",
            "email": "ada@example.org",
            "attributes": {"team": "engines"},
        },
        headers=headers,
    )
    user = answer.json()
    [item] = await audit(admin)
    event = (await admin.get("/v1/events")).json()["items"][0]
    assert item == {
        "position": 1,
        "event_id": event["id"],
        "type": "user.registered",
        "subject": user["id"],
        "version": 1,
        "time": event["time"],
        "actor": "token:admin",
        "on_behalf_of": "hr",
        "correlation_id": "hiring-7",
        "causation_id": None,
        "changes": SEEN,
        "reason": None,
        "personal": "open",
    }


async def test_each_change_shows_the_value_before(admin: AsyncClient) -> None:
    path = path_of(await registered(admin, attributes={"team": "engines", "desk": 4}))
    await admin.patch(path, json={"name": "Ada King", "email": "king@example.org"})
    await admin.patch(path, json={"role": "owner", "external_id": "E1"})
    await admin.patch(path, json={"attributes": {"team": "looms", "desk": None, "pet": "cat"}})
    await admin.post(f"{path}/suspend", json={"reason": "leave"})
    await admin.request("DELETE", path)
    await admin.post(f"{path}/restore")
    await admin.post(f"{path}/reinstate")
    assert (await changes(admin, path))[1:] == [
        ("user.renamed", {"name": {"from": "Ada Lovelace", "to": "Ada King"}}),
        ("user.email_changed", {"email": {"from": "ada@example.org", "to": "king@example.org"}}),
        ("user.external_id_changed", {"external_id": {"from": None, "to": "E1"}}),
        ("user.role_changed", {"role": {"from": "member", "to": "owner"}}),
        (
            "user.attributes_changed",
            {
                "attributes": {
                    "from": {"team": "engines", "desk": 4},
                    "to": {"team": "looms", "pet": "cat"},
                }
            },
        ),
        ("user.suspended", {"status": {"from": "active", "to": "suspended"}}),
        ("user.deleted", {"status": {"from": "suspended", "to": "deleted"}}),
        ("user.restored", {"status": {"from": "deleted", "to": "suspended"}}),
        ("user.reinstated", {"status": {"from": "suspended", "to": "active"}}),
    ]
    suspended = (await admin.get(f"{path}/history")).json()["items"][3]
    assert (suspended["type"], suspended["reason"]) == ("user.suspended", "leave")


async def test_filters_narrow_the_audit(admin: AsyncClient, writer: AsyncClient) -> None:
    ada = await registered(admin)
    bob = await registered(writer, email="bob@example.org", name="Bob")
    headers = {"X-Request-ID": "r9", "Rollbook-On-Behalf-Of": "hr"}
    await writer.patch(path_of(ada), json={"role": "owner"}, headers=headers)
    items = await audit(admin)
    assert [item["position"] for item in items] == [3, 2, 1]
    found = {
        "actor=token:writer": [3, 2],
        "actor=token:writer,token:admin&types=user.registered": [2, 1],
        f"user={ada['id']}": [3, 1],
        "user=BOB@example.org": [2],
        "user=nobody@example.org": [],
        "on_behalf_of=hr": [3],
        "correlation_id=r9": [3],
        "types=user.*": [3, 2, 1],
        "types=library.*": [],
        f"from={items[1]['time']}": [3, 2],
        f"to={items[1]['time']}": [1],
        f"from={items[1]['time']}&to={items[0]['time']}": [2],
        # Times finer than those of events are compared, not cut.
        f"to={items[1]['time'][:-1]}9Z": [2, 1],
        f"to={items[1]['time'][:-1]}000Z": [1],
        f"from={items[1]['time'][:-1]}0000000000001Z": [3],
        f"from={items[1]['time'][:-1]}000Z": [3, 2],
    }
    for query, positions in found.items():
        assert (query, [i["position"] for i in await audit(admin, f"?{query}")]) == (
            query,
            positions,
        )
    await admin.patch(path_of(bob), json={"email": "rob@example.org"})
    assert await audit(admin, "?user=bob@example.org") == []


async def test_pages_continue_from_their_cursor(admin: AsyncClient) -> None:
    path = path_of(await registered(admin))
    for role in ("a", "b", "c", "d"):
        await admin.patch(path, json={"role": role})
    seen: list[int] = []
    query = "?limit=2"
    while True:
        page = (await admin.get(f"/v1/audit{query}")).json()
        seen += [item["position"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query = f"?limit=2&cursor={page['next_cursor']}"
    assert seen == [5, 4, 3, 2, 1]


async def test_a_cursor_of_another_list_or_an_invalid_one_is_refused(admin: AsyncClient) -> None:
    path = path_of(await registered(admin))
    await admin.patch(path, json={"role": "owner"})
    cursor = (await admin.get("/v1/audit?limit=1")).json()["next_cursor"]
    users = (await admin.get("/v1/users?limit=1")).json()["next_cursor"]
    assert users is None
    for query in (
        f"/v1/audit?limit=1&actor=token:x&cursor={cursor}",
        f"/v1/audit?cursor={cursor[:-2]}xx",
        "/v1/audit?cursor=nonsense",
        f"/v1/users?cursor={cursor}",
        f"{path}/history?cursor={cursor}",
    ):
        answer = await admin.get(query)
        assert (query, answer.status_code, slug(answer)) == (query, 422, "invalid-request")
        assert answer.json()["errors"][0]["pointer"] == "cursor"


async def test_only_auditors_read_the_audit(directory: Directory, admin: AsyncClient) -> None:
    path = path_of(await registered(admin))
    paths = ("/v1/audit", f"{path}/history", f"{path}/blame")
    for token, status in (("auditor", 200), ("admin", 200), ("reader", 403), ("writer", 403)):
        async with directory.as_(token) as client:
            assert [(await client.get(each)).status_code for each in paths] == [status] * 3


async def test_without_users_read_changes_are_shown_without_personal_values(
    directory: Directory, admin: AsyncClient
) -> None:
    path = path_of(await registered(admin))
    await admin.patch(path, json={"name": "Ada King", "role": "owner"})
    await admin.post(f"{path}/suspend", json={"reason": "leave"})
    async with directory.as_("inspector") as client:
        suspended, role, name, _ = await audit(client)
        hidden = {"from": None, "to": None}
        assert (name["personal"], name["changes"]) == ("sealed", {"name": hidden})
        assert role["changes"] == {"role": {"from": "member", "to": "owner"}}
        assert (suspended["personal"], suspended["reason"]) == ("sealed", None)
        assert "Ada" not in (await client.get("/v1/audit")).text
        blame = (await client.get(f"{path}/blame")).json()
        assert (blame["personal"], blame["name"]["value"], blame["attributes"]) == (
            "sealed",
            None,
            None,
        )
        assert blame["role"]["value"] == "owner"


async def test_the_audit_keeps_the_events_of_an_erased_person_without_personal_data(
    admin: AsyncClient,
) -> None:
    path = path_of(await registered(admin))
    await admin.request("DELETE", path, json={"reason": "left us"})
    await admin.post(f"{path}/erase", json={"reason": "retention"})
    erased, deleted, registration = await audit(admin)
    assert (erased["changes"], erased["reason"]) == (
        {"status": {"from": "deleted", "to": "erased"}},
        "retention",
    )
    assert (deleted["personal"], deleted["reason"]) == ("erased", None)
    assert registration["personal"] == "erased"
    assert registration["changes"]["name"] == {"from": None, "to": None}
    assert registration["changes"]["role"] == {"from": None, "to": "member"}
    assert [each for each, _ in await changes(admin, path)] == [
        "user.registered",
        "user.deleted",
        "user.erased",
    ]
    assert slug(await admin.get(f"{path}/blame")) == "user-erased"


async def test_the_history_of_an_unknown_user_is_not_found(admin: AsyncClient) -> None:
    for path in (UNKNOWN_USER, "/v1/users/nonsense"):
        for what in ("history", "blame"):
            answer = await admin.get(f"{path}/{what}")
            assert (answer.status_code, slug(answer)) == (404, "not-found")


async def test_blame_names_the_event_that_set_each_field(
    admin: AsyncClient, writer: AsyncClient
) -> None:
    path = path_of(await registered(admin, attributes={"team": "engines", "desk": 4}))
    await writer.patch(path, json={"name": "Ada King"}, headers={"X-Request-ID": "wedding"})
    await writer.patch(path, json={"attributes": {"team": "looms"}})
    await admin.patch(path, json={"attributes": {"pet": "cat"}})
    await writer.post(f"{path}/suspend")
    items = {item["version"]: item for item in await audit(admin)}
    blame = (await admin.get(f"{path}/blame")).json()
    assert blame["name"] == {
        "value": "Ada King",
        "since": items[2]["time"],
        "actor": "token:writer",
        "on_behalf_of": None,
        "event_id": items[2]["event_id"],
        "type": "user.renamed",
        "version": 2,
        "position": items[2]["position"],
        "correlation_id": "wedding",
    }
    fields = ("email", "role", "external_id", "status")
    assert [(blame[each]["value"], blame[each]["version"]) for each in fields] == [
        ("ada@example.org", 1),
        ("member", 1),
        (None, 1),
        ("suspended", 5),
    ]
    assert {key: (each["value"], each["version"]) for key, each in blame["attributes"].items()} == {
        "team": ("looms", 3),
        "desk": (4, 1),
        "pet": ("cat", 4),
    }
    assert (blame["version"], blame["personal"]) == (5, "open")


async def test_a_readded_attribute_is_blamed_on_the_event_that_readded_it(
    admin: AsyncClient,
) -> None:
    path = path_of(await registered(admin, attributes={"team": "engines"}))
    for team in (None, "engines"):
        await admin.patch(path, json={"attributes": {"team": team}})
    blame = (await admin.get(f"{path}/blame")).json()
    assert blame["attributes"]["team"]["version"] == 3


async def test_a_deleted_user_has_a_history_and_no_blame(admin: AsyncClient) -> None:
    path = path_of(await registered(admin))
    await admin.request("DELETE", path)
    assert [each for each, _ in await changes(admin, path)] == ["user.registered", "user.deleted"]
    assert slug(await admin.get(f"{path}/blame")) == "user-deleted"


async def test_the_audit_reads_the_log_and_does_not_wait_for_the_views(
    directory: Directory, admin: AsyncClient
) -> None:
    await registered(admin)
    directory.views.lag = 1
    answer = await admin.get("/v1/audit", headers={"Rollbook-Min-Position": "1"})
    assert (answer.headers["Rollbook-Position"], len(answer.json()["items"])) == ("1", 1)
    answer = await admin.get("/v1/audit", headers={"Rollbook-Min-Position": "3"})
    assert answer.status_code == 422


async def test_head_answers_as_get_without_a_body(admin: AsyncClient) -> None:
    path = path_of(await registered(admin))
    for each in ("/v1/audit", f"{path}/history", f"{path}/blame"):
        answer = await admin.head(each)
        assert (answer.status_code, answer.content) == (200, b"")
