"""An import never makes one user of two people: within a file and across two, updating or not."""

from collections.abc import Mapping

import pytest

from interfaces.cli.ldif_import.ldif import FileProblem
from interfaces.cli.ldif_import.order import outcomes
from interfaces.cli.ldif_import.people import read_people
from interfaces.cli.ldif_import.rows import NotAPerson
from tests.support.cli.rows import Runs
from tests.support.http.fake_rollbook import FakeRollbook

UUID = "118f620b-5416-583d-938a-08c30f3eaa7e"
OTHER_UUID = "feff7395-32a1-5b72-8ee6-88073b28028f"
Fields = Mapping[str, str]

ANNA = {"cn": "Anna Alm", "mail": "anna@example.org"}
BO = {"cn": "Bo Berg", "mail": "bo@example.org"}

# Entries of another person, each with what they share with Anna's.
OTHERS: list[tuple[str, Fields, Fields]] = [
    ("a uid", {**ANNA, "uid": "ab"}, {**BO, "uid": "ab"}),
    ("an employee number", {**ANNA, "employeeNumber": "7"}, {**BO, "employeeNumber": "7"}),
    ("a uid in capitals", {**ANNA, "uid": "ab"}, {**BO, "uid": "AB"}),
    ("a uid in small letters", {**ANNA, "uid": "AB"}, {**BO, "uid": "ab"}),
    ("an address but no uid", {**ANNA, "uid": "ab"}, {**BO, "uid": "bb", "mail": ANNA["mail"]}),
    (
        "an address in capitals",
        {**ANNA, "uid": "ab"},
        {**ANNA, "uid": "bb", "mail": ANNA["mail"].upper()},
    ),
    (
        "an address but no entryUUID",
        {**ANNA, "entryUUID": UUID},
        {**ANNA, "entryUUID": OTHER_UUID},
    ),
]
# Entries that are the same person's, though something changed.
CHANGES: list[tuple[str, Fields, Fields]] = [
    ("the name", {**ANNA, "uid": "ab"}, {**BO, "uid": "ab", "mail": ANNA["mail"]}),
    ("the address", {**ANNA, "uid": "ab"}, {**ANNA, "uid": "ab", "mail": "alm@example.org"}),
    ("the uid's capitals", {**ANNA, "uid": "ab"}, {**ANNA, "uid": "AB", "l": "Lund"}),
    ("all but entryUUID", {**ANNA, "entryUUID": UUID}, {**BO, "entryUUID": UUID.upper()}),
    ("an entryUUID was added", {**ANNA, "uid": "ab"}, {**ANNA, "uid": "ab", "entryUUID": UUID}),
]


def entry(fields: Fields) -> str:
    lines = [f"{name}: {value}" for name, value in fields.items()]
    return "\n".join(["dn: cn=a", "objectClass: person", *lines]) + "\n\n"


async def imported(
    runs: Runs, *entries: Fields, update: bool = False, dry_run: bool = False
) -> list[str]:
    """The outcomes of one file."""
    rows = [
        row
        for row in read_people([entry(fields).encode() for fields in entries])
        if not isinstance(row, NotAPerson | FileProblem)
    ]
    run = runs(update=update, dry_run=dry_run)
    return [outcome.result async for outcome in outcomes(rows, run.settle)]


def people(server: FakeRollbook) -> set[tuple[str, str]]:
    return {(user["name"], user["email"]) for user in server.users.values()}


@pytest.mark.parametrize("update", [False, True], ids=["", "update"])
@pytest.mark.parametrize("is_one_file", [True, False], ids=["one file", "two files"])
@pytest.mark.parametrize(
    ("first", "second"), [pair[1:] for pair in OTHERS], ids=[o[0] for o in OTHERS]
)
async def test_another_person_is_refused_that_shares(
    server: FakeRollbook,
    runs: Runs,
    first: Fields,
    second: Fields,
    *,
    is_one_file: bool,
    update: bool,
):
    if is_one_file:
        found = await imported(runs, first, second, update=update)
    else:
        found = await imported(runs, first)
        found += await imported(runs, second, update=update)
    assert found == ["created", "refused"]
    assert people(server) == {(first["cn"], first["mail"])}
    # A repeat of both says the same.
    assert await imported(runs, first, update=update) == ["unchanged"]
    assert await imported(runs, second, update=update) == ["refused"]


@pytest.mark.parametrize(
    ("first", "second"), [pair[1:] for pair in CHANGES], ids=[change[0] for change in CHANGES]
)
async def test_the_same_person_of_a_later_file_differs_in(
    server: FakeRollbook, runs: Runs, first: Fields, second: Fields
):
    await imported(runs, first)
    assert await imported(runs, second) == ["differs"]
    assert people(server) == {(first["cn"], first["mail"])}
    assert await imported(runs, second, update=True) == ["updated"]
    assert people(server) == {(second["cn"], second["mail"])}
    assert await imported(runs, second) == ["unchanged"]


@pytest.mark.parametrize("update", [False, True], ids=["", "update"])
async def test_another_person_with_the_uid_of_a_renamed_one_is_refused(
    server: FakeRollbook, runs: Runs, *, update: bool
):
    first, second = {**ANNA, "uid": "ab"}, {**BO, "uid": "ab"}
    await imported(runs, first)
    (user,) = server.users.values()
    user["name"] = "Anna Holm"
    assert await imported(runs, second, update=update) == ["refused"]
    assert await imported(runs, first) == ["differs"]
    user["email"] = "holm@example.org"
    assert await imported(runs, second, update=update) == ["refused"]
    assert await imported(runs, first, update=update) == ["refused"]
    assert people(server) == {("Anna Holm", "holm@example.org")}


async def test_two_people_of_one_name_and_uid_in_one_file_are_two(server: FakeRollbook, runs: Runs):
    namesake = {**ANNA, "uid": "ab", "mail": "alm@example.org"}
    found = await imported(runs, {**ANNA, "uid": "ab"}, namesake, update=True)
    assert found == ["created", "refused"]
    assert people(server) == {(ANNA["cn"], ANNA["mail"])}


async def test_people_with_entry_uuids_may_share_a_uid(server: FakeRollbook, runs: Runs):
    first = {**ANNA, "uid": "ab", "entryUUID": UUID}
    second = {**BO, "uid": "AB", "entryUUID": OTHER_UUID}
    assert await imported(runs, first, second) == ["created", "created"]
    assert await imported(runs, first, second, update=True) == ["unchanged", "unchanged"]
    assert people(server) == {(ANNA["cn"], ANNA["mail"]), (BO["cn"], BO["mail"])}


@pytest.mark.parametrize("is_one_file", [True, False], ids=["one file", "two files"])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({**ANNA, "uid": "ab"}, {**BO, "uid": "ab", "entryUUID": UUID}),
        ({**ANNA, "employeeNumber": "7"}, {**BO, "uid": "7", "employeeNumber": "8"}),
        ({**ANNA, "uid": "7", "employeeNumber": "8"}, {**BO, "employeeNumber": "7"}),
    ],
)
async def test_people_may_share_an_id_that_is_not_the_external_id_of_both(
    server: FakeRollbook, runs: Runs, first: Fields, second: Fields, *, is_one_file: bool
):
    if is_one_file:
        assert await imported(runs, first, second, update=True) == ["created", "created"]
    else:
        await imported(runs, first)
        assert await imported(runs, second, update=True) == ["created"]
    assert people(server) == {(ANNA["cn"], ANNA["mail"]), (BO["cn"], BO["mail"])}
    assert await imported(runs, first, second) == ["unchanged", "unchanged"]


async def test_a_namesake_with_an_id_that_is_the_external_id_of_another_is_refused(
    server: FakeRollbook, runs: Runs
):
    namesake = {**ANNA, "mail": "alm@example.org", "uid": "ab", "entryUUID": UUID}
    found = await imported(runs, {**ANNA, "uid": "ab"}, namesake, update=True)
    assert found == ["created", "refused"]
    assert people(server) == {(ANNA["cn"], ANNA["mail"])}


async def test_a_row_that_was_refused_does_not_stop_another_with_its_uid(runs: Runs):
    found = await imported(runs, {**ANNA, "uid": "ab", "mail": "no"}, {**BO, "uid": "ab"})
    assert found == ["refused", "created"]


@pytest.mark.parametrize("update", [False, True], ids=["", "update"])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({**ANNA, "uid": "ab"}, {**ANNA, "uid": "ab"}),
        ({**ANNA, "uid": "ab"}, {**BO, "uid": "AB"}),
        ({**ANNA, "uid": "ab"}, {**ANNA, "uid": "ab", "entryUUID": UUID}),
        ({**ANNA, "uid": "ab", "entryUUID": UUID}, {**ANNA, "uid": "ab"}),
        ({**ANNA, "uid": "ab", "entryUUID": UUID}, {**BO, "entryUUID": UUID.upper()}),
        (ANNA, {**ANNA, "uid": "ab"}),
        (ANNA, {**ANNA, "mail": "ANNA@example.org"}),
        ({**ANNA, "uid": "ab"}, ANNA),
    ],
)
async def test_a_deleted_user_does_not_return(
    server: FakeRollbook, runs: Runs, first: Fields, second: Fields, *, update: bool
):
    await imported(runs, first)
    server.gone.update(dict.fromkeys(server.users, "deleted"))
    server.keys.clear()
    assert await imported(runs, second, second, update=update) == ["refused", "refused"]
    assert len(server.users) == 1


async def test_a_deleted_user_does_not_return_as_the_present_holder_of_the_address(
    server: FakeRollbook, runs: Runs
):
    await imported(runs, {**ANNA, "uid": "ab"})
    server.gone.update(dict.fromkeys(server.users, "deleted"))
    server.users["new"] = {
        "id": "new",
        "name": BO["cn"],
        "email": ANNA["mail"],
        "external_id": None,
        "attributes": {},
        "version": 1,
    }
    assert await imported(runs, {**ANNA, "uid": "ab"}, update=True) == ["refused"]
    assert server.users["new"]["name"] == BO["cn"]


async def test_a_user_that_was_deleted_and_restored_is_there(server: FakeRollbook, runs: Runs):
    await imported(runs, {**ANNA, "uid": "ab"})
    server.gone.update(dict.fromkeys(server.users, "deleted"))
    await imported(runs, {**ANNA, "uid": "ab"})
    server.gone.clear()
    assert await imported(runs, {**ANNA, "uid": "ab"}) == ["unchanged"]


@pytest.mark.parametrize("update", [False, True], ids=["", "update"])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({**ANNA, "uid": "ab"}, {**ANNA, "uid": "ab"}),
        ({**ANNA, "uid": "ab"}, {**BO, "uid": "AB"}),
        ({**ANNA, "entryUUID": UUID}, {**BO, "entryUUID": UUID.upper()}),
        (ANNA, {**BO, "mail": "ANNA@example.org"}),
    ],
)
async def test_an_erased_person_does_not_return(
    server: FakeRollbook, runs: Runs, first: Fields, second: Fields, *, update: bool
):
    await imported(runs, first)
    server.gone.update(dict.fromkeys(server.users, "erased"))
    server.keys.clear()
    assert await imported(runs, second, second, update=update) == ["refused", "refused"]
    assert len(server.users) == 1


@pytest.mark.parametrize("update", [False, True], ids=["", "update"])
async def test_a_user_with_another_address_and_another_external_id_now_is_not_registered_again(
    server: FakeRollbook, runs: Runs, *, update: bool
):
    await imported(runs, {**ANNA, "uid": "ab"})
    (user,) = server.users.values()
    user.update(external_id="staff-7", email="alm@example.org")
    server.keys.clear()
    assert await imported(runs, {**ANNA, "uid": "ab"}, update=update) == ["refused"]
    assert people(server) == {(ANNA["cn"], "alm@example.org")}


@pytest.mark.parametrize("update", [False, True], ids=["", "update"])
@pytest.mark.parametrize(("first", "second"), [pair[1:] for pair in (*OTHERS, *CHANGES)])
async def test_a_dry_run_says_the_same_and_changes_nothing(
    server: FakeRollbook, runs: Runs, first: Fields, second: Fields, *, update: bool
):
    said = await imported(runs, first, second, first, update=update, dry_run=True)
    assert server.commands == []
    assert said == await imported(runs, first, second, first, update=update)
    commands = len(server.commands)
    said = await imported(runs, second, first, update=update, dry_run=True)
    assert len(server.commands) == commands
    assert said == await imported(runs, second, first, update=update)
