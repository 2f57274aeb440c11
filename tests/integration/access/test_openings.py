"""Openings on real servers: processes that read at the same moment record one event."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

from application.access.openings import Openings
from application.identity import PRESETS, Principal
from application.log.search import EventFilter
from domain.access.events import AccessOpened
from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import EventStore, access_records, open_event_store
from tests.support.http.in_process import in_process
from tests.support.servers.postgres import MASTER_KEYS

READER: Final = Principal(
    actor="token:crm", permissions=PRESETS["reader"], credential="token:5eed", kind="token"
)
NOW: Final = datetime(2026, 3, 1, 10, 30, tzinfo=UTC)
EVERYTHING: Final = EventFilter(kinds=frozenset({"access"}))


def openings(store: EventStore, moment: datetime = NOW) -> Openings:
    """Those of a process whose clock stands still."""
    return Openings(access_records(store), lambda: moment)


async def test_twenty_concurrent_openings_of_two_processes_are_one_event(database_url: str) -> None:
    masters = MasterKeys.parse(MASTER_KEYS)
    async with (
        open_event_store(database_url, masters) as one,
        open_event_store(database_url, masters) as two,
    ):
        # Each has a memory of its own, so that all of them meet in the log.
        readers = [openings(store) for store in (one, two) for _ in range(10)]
        await asyncio.gather(*(each.record(READER, "users", "r") for each in readers))
        await asyncio.gather(*(each.record(READER, "users", "r") for each in readers))
        [recorded] = (await one.feed.search(0, EVERYTHING, 100)).events
        assert recorded.event == AccessOpened(what="users", presented="token")
        assert (recorded.version, recorded.actor) == (1, "token:crm")
        later = openings(two, NOW + timedelta(hours=1))
        await later.record(READER, "users", "r")
        await later.record(READER, "audit", "r")
        events = (await one.feed.search(0, EVERYTHING, 100)).events
        assert len({each.stream for each in events}) == len(events) == 3


async def test_a_caller_that_reads_lists_moves_no_view_and_leaves_nothing_parked(
    database_url: str,
) -> None:
    async with in_process(database_url) as client:
        user = (
            await client.post("/v1/users", json={"name": "Ada", "email": "a@example.org"})
        ).json()
        for path in ("/v1/users", "/v1/events", "/v1/audit"):
            assert (await client.get(path)).raise_for_status().json()["items"]
        access = (await client.get("/v1/audit?types=access.*")).json()
        assert [item["changes"]["what"]["to"] for item in access["items"]] == [
            "audit",
            "events",
            "users",
        ]
        headers = {"Rollbook-Min-Position": str(access["position"])}
        listed = (await client.get("/v1/users", headers=headers)).json()
        assert [each["id"] for each in listed["items"]] == [user["id"]]
        assert listed["position"] == access["position"]
        assert (await client.get("/v1/projections/users/parked")).json()["items"] == []
        subject = access["items"][0]["subject"]
        assert (await client.get(f"/v1/users/{subject}?version=1")).status_code == 404
        assert (await client.post(f"/v1/users/{subject}/erase", json={})).status_code == 404
