"""Look-ups of many rows: few requests, the right answer to each row, and no wait for the view."""

import asyncio
from typing import Any
from urllib.parse import unquote

import pytest

from interfaces.cli.client.client import Remote
from interfaces.cli.ldif_import.identity import RowRefused
from interfaces.cli.ldif_import.lookup import UserLookup
from tests.support.cli.rows import Runs, row
from tests.support.http.fake_rollbook import FakeRollbook, problem


def people(count: int) -> list[dict[str, Any]]:
    return [{"external_id": f"E{n}", "email": f"p{n}@example.org"} for n in range(count)]


async def register(runs: Runs, count: int) -> None:
    run = runs()
    for fields in people(count):
        await run.settle(row(**fields))


async def found(remote: Remote, *rows: dict[str, Any]) -> list[list[str | None]]:
    """The external ids of the users that are found for each row, all asked for at once."""
    lookup = UserLookup(remote)
    asking = (lookup.users_of(row(**fields), again=False) for fields in rows)
    return [[user.external_id for user in users] for users in await asyncio.gather(*asking)]


async def test_rows_that_wait_share_a_request_and_each_gets_its_own_users(
    server: FakeRollbook, runs: Runs, remote: Remote
):
    await register(runs, 40)
    server.requests.clear()
    moved = {"external_id": "E1", "email": "p2@example.org"}
    assert await found(remote, *people(40), moved) == [[f"E{n}"] for n in range(40)] + [
        ["E1", "E2"]
    ]
    assert len(server.requests) == 3


async def test_a_list_that_the_server_refuses_is_asked_for_row_by_row(
    server: FakeRollbook, runs: Runs, remote: Remote
):
    await register(runs, 3)
    first = people(1)[0]
    server.failures.append(problem(422, "invalid-request", "Not one."))
    with pytest.raises(RowRefused, match="Not one"):
        await found(remote, first)

    server.requests.clear()
    lookup = UserLookup(remote)
    server.before = lambda _method, _path: server.failures.append(problem(422, "x", "Not all."))
    asking = [lookup.users_of(row(**fields), again=False) for fields in people(3)]
    answers = await asyncio.gather(*asking, return_exceptions=True)
    server.before = lambda _method, _path: None
    assert [isinstance(answer, RowRefused) for answer in answers] == [False, False, True]


async def test_a_request_stays_short_however_long_the_ids_are(
    server: FakeRollbook, runs: Runs, remote: Remote
):
    ids = [f"{n}" + "ß" * 250 for n in range(8)]
    run = runs()
    for n, external_id in enumerate(ids):
        await run.settle(row(external_id=external_id, email=f"p{n}@example.org"))
    server.queries.clear()
    rows = [{"external_id": external_id, "email": "new@example.org"} for external_id in ids]
    assert await found(remote, *rows) == [[external_id] for external_id in ids]
    assert max(map(len, server.queries)) < 5000


async def test_a_row_with_more_ids_than_a_list_holds_is_found_by_the_first_ones(
    server: FakeRollbook, runs: Runs
):
    others = tuple(f"u{n}" for n in range(400))
    await runs().settle(row(other_keys=others))
    assert (await runs().settle(row(other_keys=others))).result == "unchanged"
    assert max(unquote(query).count(",") for query in server.queries) == 199 + 2


async def test_only_rows_with_names_of_earlier_rows_wait_for_the_view(
    server: FakeRollbook, runs: Runs
):
    run = runs()
    same: dict[str, Any] = {"external_id": "e1", "email": "p1@example.org"}
    for fields in (*people(3), same):
        await run.settle(row(**fields))
    reads = [headers for method, _, headers in server.requests if method == "GET"]
    positions = [headers.get("rollbook-min-position") for headers in reads]
    assert positions == [None] * 6 + ["3"] * 2
