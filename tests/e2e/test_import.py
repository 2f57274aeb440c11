"""`rollbook import` of a whole directory into a running Rollbook: twice, then with changes."""

import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from domain.values import EmailAddress, PersonName
from interfaces.cli.ldif_import.people import read_people
from interfaces.cli.ldif_import.rows import Person
from tests.support.servers.contents import all_events, all_users, client_of, events_of
from tests.support.servers.prepared_data import prepared
from tests.support.servers.rollbook import RunningRollbook, run_rollbook, until

DIRECTORY: Final = Path(__file__).parent / "data" / "directory.ldif"
NOT_PEOPLE: Final = {
    "organizations": 1,
    "organizational units": 2,
    "groups": 4,
    "computers": 1,
}
# The exact duplicates, then the rows that are not imported; every run reports the same.
UNCHANGED: Final = {253, 2063}
DIFFERS: Final = {
    1822: "line 1801 is about the same user and came first",
}
REFUSED: Final = {
    698: "the entry has no mail",
    1251: "the entry has no mail",
    1757: "the address is held by a user with another external id",
    1895: "line 1874 has the same external id and another address",
    2104: "the entry has no mail",
    2308: "cn in line 2310 is not valid base64",
    2418: "email: The part after the @-sign is a special-use or reserved name that cannot be used "
    "with email",
    2523: "change records are not imported, only entries",
    2620: "cn in line 2622 is not UTF-8 text",
}
CREATED: Final = 135
PEOPLE: Final = 800


Rows = dict[int, tuple[str, str | None]]
Import = Callable[..., tuple[Rows, dict[str, Any]]]


@pytest.fixture(scope="module")
def rollbook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRollbook]:
    with RunningRollbook(prepared(tmp_path_factory.mktemp("import") / "data")) as rollbook:
        until(lambda: rollbook.status("/health/ready") == 200)
        yield rollbook


@pytest.fixture(scope="module")
def client(rollbook: RunningRollbook) -> Iterator[httpx2.Client]:
    with client_of(rollbook) as client:
        yield client


@pytest.fixture(scope="module")
def rollbook_import(rollbook: RunningRollbook) -> Import:
    """Imports a file; returns the outcome of each row by line, and the summary."""

    def run(file: Path | str, *options: str, stdin: str = "") -> tuple[Rows, dict[str, Any]]:
        local = ("--data-dir", str(rollbook.data_dir))
        result = run_rollbook("import", str(file), "--json", *local, *options, stdin=stdin)
        *rows, last = (json.loads(line) for line in result.stdout.splitlines())
        summary = last["summary"]
        failed = summary["refused"] or summary["file_problem"]
        assert result.returncode == (1 if failed else 0)
        assert summary["stopped"] is None
        assert [row["line"] for row in rows] == sorted(row["line"] for row in rows)
        return {row["line"]: (row["outcome"], row["reason"]) for row in rows}, summary

    return run


def test_a_directory_is_imported_once_and_a_second_run_changes_nothing(
    rollbook_import: Import, client: httpx2.Client
):
    rows, summary = rollbook_import(DIRECTORY)
    created = {line for line, (outcome, _) in rows.items() if outcome == "created"}
    assert by_outcome(rows, "unchanged") == dict.fromkeys(UNCHANGED)
    assert by_outcome(rows, "differs") == DIFFERS
    assert by_outcome(rows, "refused") == REFUSED
    assert (len(created), summary["not_people"]) == (CREATED, NOT_PEOPLE)
    assert_users_are_the_people_of(client, created)

    events = all_events(client)
    assert [event["type"] for event in events] == ["user.registered"] * CREATED
    assert "SSHA" not in json.dumps(events)

    rows, summary = rollbook_import(DIRECTORY)
    assert set(by_outcome(rows, "unchanged")) == created | UNCHANGED
    assert by_outcome(rows, "differs") == DIFFERS
    assert by_outcome(rows, "refused") == REFUSED
    assert summary["created"] == summary["updated"] == 0
    assert all_events(client) == events


def test_a_changed_file_differs_and_update_applies_the_changes(
    rollbook_import: Import, client: httpx2.Client, tmp_path: Path
):
    rollbook_import(DIRECTORY)
    before = len(all_events(client))
    changed = tmp_path / "changed.ldif"
    changed.write_text(
        DIRECTORY.read_text()
        .replace("cn: Guest Lecturer\n", "cn: Regular Lecturer\n")
        .replace("telephoneNumber: +46 40 555 0002\n", "")
        .replace("mail: guest@example.com\n", "mail: guest@example.com\nl: Lund\n")
    )
    assert_rows_change(rollbook_import(changed)[0], "differs")
    assert len(all_events(client)) == before

    assert_rows_change(rollbook_import(changed, "--update")[0], "updated")
    added = all_events(client)[before:]
    assert sorted(event["type"] for event in added) == [
        "user.attributes_changed",
        "user.attributes_changed",
        "user.renamed",
    ]
    rows, _ = rollbook_import(changed, "--update")
    assert by_outcome(rows, "updated") == {}
    assert len(all_events(client)) == before + len(added)


def test_a_deleted_user_is_refused_on_any_day(
    rollbook_import: Import, client: httpx2.Client, tmp_path: Path
):
    people = tmp_path / "people.ldif"
    people.write_text(_people(2, "deleted"))
    rollbook_import(people)
    for user in users_of(client, "deleted"):
        client.delete(f"/v1/users/{user['id']}").raise_for_status()
    # Another request than the first, as if that were forgotten.
    people.write_text(people.read_text().replace("cn: Person", "cn: Dr Person"))
    for options in ((), ("--update",)):
        rows, summary = rollbook_import(people, *options)
        assert summary["refused"] == 2
        assert {reason for _, reason in rows.values()} == {
            "a user with this external id was deleted"
        }
    assert users_of(client, "deleted") == []


def test_an_erased_person_is_refused_by_what_an_import_derived_from_the_key(
    rollbook_import: Import, client: httpx2.Client, tmp_path: Path
):
    people = tmp_path / "people.ldif"
    of_them = _people(2, "erased")
    people.write_text(of_them)
    rollbook_import(people)
    for user in users_of(client, "erased"):
        client.post(f"/v1/users/{user['id']}/erase").raise_for_status()
    for text in (of_them, of_them.replace("@", ".changed@").replace("uid: e", "uid: E")):
        people.write_text(text)
        rows, summary = rollbook_import(people)
        assert summary["refused"] == 2
        assert {reason for _, reason in rows.values()} == {"the person was erased"}
    assert users_of(client, "erased") == []


def test_a_file_that_is_not_whole_fails_but_its_people_are_imported(
    rollbook_import: Import, client: httpx2.Client, tmp_path: Path
):
    file = tmp_path / "people.ldif"
    file.write_bytes(
        _people(2, "whole").encode("utf-16") + "search: 2\nresult: 4 x\n\n".encode("utf-16-le")
    )
    _, summary = rollbook_import(file)
    problem = "entries are missing: by line 12 the search ended with size limit exceeded"
    assert (summary["created"], summary["file_problem"]) == (2, problem)
    file.write_text("")
    assert rollbook_import(file)[1]["file_problem"] == "the file has no entries"
    file.write_text(_people(3, "whole").replace("\n", "\r"))
    assert rollbook_import(file)[1]["unchanged"] == 2
    assert len(users_of(client, "whole")) == 3


def test_a_dry_run_of_the_standard_input_changes_nothing(
    rollbook_import: Import, client: httpx2.Client
):
    before = all_events(client)
    _, summary = rollbook_import("-", "--dry-run", stdin=_people(2, "dry"))
    assert (summary["created"], summary["dry_run"]) == (2, True)
    assert all_events(client) == before
    _, summary = rollbook_import("-", stdin=_people(2, "dry"))
    assert (summary["created"], summary["dry_run"]) == (2, False)


def test_a_file_that_does_not_exist_is_wrong_usage():
    result = run_rollbook("import", "/nowhere/people.ldif")
    assert (result.returncode, "does not exist" in result.stderr) == (2, True)


def test_two_imports_of_one_file_at_once_register_each_person_once(
    rollbook_import: Import, client: httpx2.Client, tmp_path: Path
):
    people = tmp_path / "people.ldif"
    people.write_text(_people(60, "twice"))
    with ThreadPoolExecutor() as threads:
        runs = [threads.submit(rollbook_import, people) for _ in range(2)]
        summaries = [run.result()[1] for run in runs]
    assert [summary["created"] + summary["unchanged"] for summary in summaries] == [60, 60]
    assert sum(summary["created"] for summary in summaries) == 60
    assert len(users_of(client, "twice")) == 60


@pytest.mark.long
def test_an_import_survives_a_kill_and_a_restart_of_rollbook(tmp_path: Path):
    people = tmp_path / "people.ldif"
    people.write_text(_people(PEOPLE, "kill"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (
        RunningRollbook(prepared(tmp_path / "data"), "--port", str(port)) as rollbook,
        ThreadPoolExecutor() as threads,
    ):
        settings = {"ROLLBOOK_URL": rollbook.url, "ROLLBOOK_TOKEN": rollbook.token}
        running = threads.submit(run_rollbook, "import", str(people), "--json", **settings)
        until(lambda: len(events_of(rollbook)) > PEOPLE // 10)
        rollbook.kill()
        assert not running.done()
        rollbook.start()
        result = running.result()
        assert result.returncode == 0, result.stdout[-500:]
        *rows, _ = (json.loads(line) for line in result.stdout.splitlines())
        assert {row["outcome"] for row in rows} <= {"created", "unchanged"}
        events = events_of(rollbook)
    assert len(rows) == len(events) == len({event["subject"] for event in events}) == PEOPLE


def _people(count: int, word: str) -> str:
    """A file of people that no other test imports: their names begin with the word."""
    names = [f"{word}{number}" for number in range(count)]
    return "".join(
        f"dn: uid={name}\nuid: {name}\ncn: Person {name}\nmail: {name}@example.org\n\n"
        for name in names
    )


def users_of(client: httpx2.Client, word: str) -> list[dict[str, Any]]:
    """The users of such a file that are listed."""
    return [user for user in all_users(client) if user["email"].lower().startswith(word)]


def assert_rows_change(rows: Rows, outcome: str) -> None:
    """Only the two changed people have this outcome; rows that only moved up a line are ignored."""
    others = {
        line: reason for line, reason in by_outcome(rows, outcome).items() if reason[:4] != "line"
    }
    assert others == {43: "attributes.telephoneNumber", 2186: "name, attributes.l"}


def by_outcome(rows: Rows, outcome: str) -> dict[int, Any]:
    return {line: reason for line, (found, reason) in rows.items() if found == outcome}


def assert_users_are_the_people_of(client: httpx2.Client, lines: set[int]) -> None:
    """The users are exactly the people of these lines, with the values of the file."""
    with DIRECTORY.open("rb") as file:
        people = [row for row in read_people(file) if isinstance(row, Person)]
    wanted = {
        EmailAddress.parse(person.email).text: (
            PersonName.parse(person.name).text,
            person.external_id,
            person.attributes,
        )
        for person in people
        if person.line in lines
    }
    assert {
        user["email"]: (user["name"], user["external_id"], user["attributes"])
        for user in all_users(client)
    } == wanted
