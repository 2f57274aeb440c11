"""Import of one row into a Rollbook: new, known, taken, changed, refused."""

from interfaces.cli.client.client import Remote
from interfaces.cli.ldif_import.order import Outcome
from interfaces.cli.ldif_import.person import PersonImport
from tests.support.cli.rows import FIELDS, FakeSleep, Runs, row
from tests.support.http.fake_rollbook import FakeRollbook


async def test_an_unknown_person_is_created(server: FakeRollbook, runs: Runs):
    assert await runs().settle(row()) == Outcome(1, "created")
    (user,) = server.users.values()
    assert {key: user[key] for key in FIELDS} == FIELDS


async def test_a_second_run_changes_nothing(server: FakeRollbook, runs: Runs):
    await runs().settle(row())
    assert await runs().settle(row()) == Outcome(1, "unchanged")
    assert len(server.users) == 1


async def test_the_key_is_the_same_in_each_run_but_reveals_nothing(
    server: FakeRollbook, runs: Runs, remote: Remote
):
    for run, fields in (
        (runs(), row(1)),
        (runs(), row(99)),
        (runs(), row(name="Zoe")),
        (PersonImport(remote, "another caller"), row()),
    ):
        await run.settle(fields)
        server.users.clear()
        server.keys.clear()
        server.import_keys.clear()
    keys = [headers["idempotency-key"] for _, _, headers in server.commands]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


async def test_a_user_that_was_changed_since_an_earlier_run_differs(
    server: FakeRollbook, runs: Runs
):
    await runs().settle(row())
    (user,) = server.users.values()
    user.update(name="Zoe", attributes={"l": "Lund", "mobile": ["1", "2"], "badge": 7})
    assert await runs().settle(row()) == Outcome(1, "differs", "name, attributes.l")
    assert user["name"] == "Zoe"


async def test_a_user_with_other_attributes_than_imports_set_is_unchanged(
    server: FakeRollbook, runs: Runs
):
    await runs().settle(row())
    (user,) = server.users.values()
    user["attributes"]["badge"] = 7
    user["role"] = "lead"
    assert await runs().settle(row()) == Outcome(1, "unchanged")


async def test_update_sets_what_the_row_says_and_nothing_else(server: FakeRollbook, runs: Runs):
    await runs().settle(row())
    (user_id,) = server.users
    server.users[user_id]["attributes"].update(badge=7, title="Ms")
    changed = row(email="zoe@example.com", attributes={"l": "Lund"})
    assert await runs(update=True).settle(changed) == Outcome(
        1, "updated", "email, attributes.title, attributes.mobile, attributes.l"
    )
    user = server.users[user_id]
    assert user["attributes"] == {"l": "Lund", "badge": 7}
    assert (user["email"], user["version"]) == ("zoe@example.com", 2)
    assert await runs(update=True).settle(changed) == Outcome(1, "unchanged")


async def test_going_back_to_an_earlier_file_is_seen_and_can_be_updated(
    server: FakeRollbook, runs: Runs
):
    await runs().settle(row())
    await runs(update=True).settle(row(name="Zoe"))
    assert await runs().settle(row()) == Outcome(1, "differs", "name")
    assert await runs(update=True).settle(row()) == Outcome(1, "updated", "name")
    assert await runs(update=True).settle(row(name="Zoe")) == Outcome(1, "updated", "name")


async def test_an_external_id_the_row_does_not_have_is_left_alone(server: FakeRollbook, runs: Runs):
    await runs().settle(row())
    assert await runs(update=True).settle(row(external_id=None)) == Outcome(1, "unchanged")


async def test_an_external_id_the_user_does_not_have_is_added_by_an_update(
    server: FakeRollbook, runs: Runs
):
    await runs().settle(row(external_id=None))
    assert await runs().settle(row()) == Outcome(1, "differs", "external_id")
    assert await runs(update=True).settle(row()) == Outcome(1, "updated", "external_id")


async def test_a_user_is_found_by_an_external_id_with_a_comma(runs: Runs) -> None:
    await runs().settle(row(external_id="Kovács, Éva"))
    moved = row(external_id="Kovács, Éva", email="moved@example.org")
    assert await runs().settle(moved) == Outcome(1, "differs", "email")


async def test_an_address_of_a_user_with_another_external_id_is_refused(runs: Runs):
    await runs().settle(row())
    other = row(2, external_id="E2", email="ZOE@example.org")
    assert await runs(update=True).settle(other) == Outcome(
        2, "refused", "the address is held by a user with another external id"
    )


async def test_a_row_between_two_users_is_refused(runs: Runs):
    await runs().settle(row())
    await runs().settle(row(external_id="E2", email="zoe@example.net"))
    mixed = row(3, external_id="E2")
    reason = "the address is held by another user"
    assert await runs(update=True).settle(mixed) == Outcome(3, "refused", reason)


async def test_within_one_file_the_first_row_of_a_user_wins(server: FakeRollbook, runs: Runs):
    run = runs(update=True)
    assert await run.settle(row(1)) == Outcome(1, "created")
    assert await run.settle(row(2)) == Outcome(2, "unchanged")
    assert await run.settle(row(3, name="Zoe")) == Outcome(
        3, "differs", "line 1 is about the same user and came first"
    )
    (user,) = server.users.values()
    assert user["name"] == "Zoë"


async def test_a_deleted_user_is_not_brought_back(server: FakeRollbook, runs: Runs):
    await runs().settle(row())
    server.gone.update(dict.fromkeys(server.users, "deleted"))
    reason = "a user with this external id was deleted"
    assert await runs(update=True).settle(row()) == Outcome(1, "refused", reason)


async def test_what_the_server_refuses_is_refused_with_field_and_reason(runs: Runs):
    assert await runs().settle(row(email="zoe")) == Outcome(
        1, "refused", "email: An email address must have an @-sign"
    )


async def test_an_update_that_meets_another_change_is_decided_again(
    server: FakeRollbook, runs: Runs
):
    await runs().settle(row())
    (user_id,) = server.users

    def change(method: str, _path: str) -> None:
        if method == "PATCH":
            server.before = lambda _method, _path: None
            server.users[user_id].update(version=2, role="lead")

    server.before = change
    assert await runs(update=True).settle(row(name="Zoe")) == Outcome(1, "updated", "name")
    assert (server.users[user_id]["role"], server.users[user_id]["version"]) == ("lead", 3)


async def test_an_import_waits_for_a_holder_that_the_list_does_not_show_yet(
    server: FakeRollbook, runs: Runs, waits: FakeSleep
):
    await runs().settle(row(external_id=None))
    (hidden,) = server.users
    looks = 0

    def appear(method: str, _path: str) -> None:
        nonlocal looks
        looks += method == "GET"
        server.gone = {} if method == "POST" or looks > 4 else {hidden: "not seen yet"}

    server.before = appear
    assert await runs().settle(row()) == Outcome(1, "differs", "external_id")
    assert waits.asked == [0.2, 0.4]


async def test_a_person_that_another_import_registers_at_the_same_moment_is_found(
    server: FakeRollbook, runs: Runs, remote: Remote
):
    await PersonImport(remote, "another caller").settle(row())
    looks = 0

    def appear(method: str, _path: str) -> None:
        nonlocal looks
        looks += method == "GET"
        (other,) = server.users
        server.gone = {other: "not seen yet"} if looks <= 2 and method == "GET" else {}

    server.before = appear
    assert await runs().settle(row()) == Outcome(1, "unchanged")
    assert looks > 2
    assert len(server.users) == 1
