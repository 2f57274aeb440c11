"""Whether the log, what its callers were told, and the views agree; every lie is a sentence."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any, Final

import httpx2

from application.verify import differences
from application.views import Slot
from infrastructure.keys import MasterKeys
from infrastructure.views.store import PostgresViewStore
from interfaces.event_store import open_event_store
from projections.registry import PROJECTIONS
from tests.load import Answer, Sent

Json = dict[str, Any]

# Each says that this request recorded nothing.
_NOTHING: Final = frozenset({"unavailable", "overloaded", "conflict"})
_UNKNOWN: Final = frozenset({"", "outcome-unknown"})
_MOST_SAID: Final = 20
_GETS_AT_ONCE: Final = 32


async def head(client: httpx2.AsyncClient) -> int:
    """The last position of the log."""
    answer = await client.get("/v1/events", params={"limit": 1})
    return answer.raise_for_status().json()["head"]


async def all_events(client: httpx2.AsyncClient, after: int = 0) -> list[Json]:
    """The log after a position, page by page."""
    return [event async for page in _pages(client, after) for event in page]


def disagreements(events: Sequence[Json], sent: Iterable[Sent]) -> list[str]:
    """Where the log is not in order, or not what the senders of all its commands were told."""
    wrong = [*_disorder(events)]
    effects = defaultdict[str, list[Json]](list)
    for event in events:
        effects[event["correlationid"]].append(event)
    for one in sent:
        effect = effects.pop(one.command.key, [])
        wrong += [f"{one.command.key} {lie}" for lie in _lies(one, effect)]
    return wrong + [f"{key} is nobody's" for key in effects]


def folded(events: Iterable[Json]) -> dict[str, Json]:
    """Each user as the events tell, by the words of the contract alone."""
    users: dict[str, Json] = {}
    for event in events:
        users[event["subject"]] = _after(users.get(event["subject"]), event)
    return users


async def shown(client: httpx2.AsyncClient, users: Iterable[str], at_least: int) -> dict[str, Json]:
    """Each user as `GET /v1/users/{id}` answers; one that is gone, by what the refusal says."""
    gate = asyncio.Semaphore(_GETS_AT_ONCE)

    async def show(user: str) -> Json:
        async with gate:
            headers = {"Rollbook-Min-Position": str(at_least)}
            answer = await client.get(f"/v1/users/{user}", headers=headers)
            assert answer.status_code in (200, 410), answer.text
            return answer.json()

    asked = list(users)
    return dict(zip(asked, await asyncio.gather(*map(show, asked)), strict=True))


def as_shown(user: Json) -> Json:
    """What the API has to say of a user in that state."""
    if user["status"] != "deleted":
        return {**user, "personal": "open"}
    return {
        "type": "/problems/user-deleted",
        "status": 410,
        "version": user["version"],
        "since": user["updated_at"],
    }


async def assert_agreement(
    client: httpx2.AsyncClient, sent: Iterable[Sent], *, after: int = 0
) -> None:
    """The log after a position is what all its senders were told, and every user is as it tells."""
    events = await all_events(client, after)
    wrong = disagreements(events, sent)
    assert not wrong, "\n".join(wrong[:_MOST_SAID])
    users = folded(events)
    answers = await shown(client, users, int(events[-1]["position"]))
    for user, answer in answers.items():
        told = as_shown(users[user])
        assert answer.items() >= told.items(), (answer, told)


async def assert_views_are_a_fresh_fold(database_url: str, master_keys: str) -> None:
    """Version, chain and every field of every view, and every counter."""
    async with open_event_store(database_url, MasterKeys.parse(master_keys)) as store:
        views = PostgresViewStore(database_url)
        for projection in PROJECTIONS:
            wrong = await differences(views, store.feed, Slot(projection))
            assert not wrong, wrong


async def _pages(client: httpx2.AsyncClient, after: int) -> AsyncGenerator[list[Json]]:
    while True:
        answer = await client.get("/v1/events", params={"after": after, "limit": 1000})
        page = answer.raise_for_status().json()
        if page["next_after"] == after:
            return
        yield page["items"]
        after = page["next_after"]


def _disorder(events: Sequence[Json]) -> list[str]:
    wrong: list[str] = []
    position, versions, ids = 0, defaultdict[str, int](int), set[str]()
    for event in events:
        if int(event["position"]) <= position:
            wrong.append(f"position {event['position']} comes after {position}")
        if event["version"] != versions[event["subject"]] + 1:
            wrong.append(f"{event['subject']} has no version before {event['version']}")
        if event["id"] in ids:
            wrong.append(f"event {event['id']} is there twice")
        position = int(event["position"])
        versions[event["subject"]] = event["version"]
        ids.add(event["id"])
    return wrong


def _lies(sent: Sent, effect: Sequence[Json]) -> list[str]:
    told = [answer for answer in sent.answers if answer.accepted]
    refused = [answer.slug for answer in sent.answers if not answer.accepted]
    wrong = [f"was refused as {slug}" for slug in refused if slug not in _NOTHING | _UNKNOWN]
    whole = _is_whole(sent, effect)
    if effect and not whole:
        wrong.append(f"caused {[event['type'] for event in effect]}")
    if told and not effect:
        wrong.append("was accepted and is not in the log")
    if effect and not told and not _UNKNOWN & set(refused):
        wrong.append(f"was told that nothing was recorded, and it was: {refused}")
    if whole:
        wrong += [f"was told {answer}" for answer in told if not _is_true(answer, effect[-1])]
    if any(not answer.replayed for answer in told[1:]):
        wrong.append("was not told that it is a repeat")
    return wrong


def _is_whole(sent: Sent, effect: Sequence[Json]) -> bool:
    """All events of the command in order, one after another, in one stream."""
    if tuple(event["type"] for event in effect) != sent.command.causes:
        return False
    first = effect[0]
    return all(
        (event["subject"], event["version"], int(event["position"]))
        == (first["subject"], first["version"] + n, int(first["position"]) + n)
        for n, event in enumerate(effect)
    )


def _is_true(answer: Answer, last: Json) -> bool:
    """A deletion is answered without a body, so without a version."""
    version = last["version"] if answer.version is None else answer.version
    return (answer.user, version, answer.position) == (
        last["subject"],
        last["version"],
        int(last["position"]),
    )


def _after(user: Json | None, event: Json) -> Json:
    data = event["data"]
    if user is None:
        assert event["type"] == "user.registered"
        user = {"id": event["subject"], **data, "status": "active", "created_at": event["time"]}
    user = {**user, "version": event["version"], "updated_at": event["time"]}
    match event["type"].removeprefix("user."):
        case "renamed" | "email_changed" | "role_changed":
            user |= {name: value for name, value in data.items() if name != "previous"}
        case "attributes_changed":
            kept = {k: v for k, v in user["attributes"].items() if k not in data["removed"]}
            user["attributes"] = {**kept, **data["set"]}
        case "suspended" | "deleted" as status:
            user["status"] = status
        case "reinstated":
            user["status"] = "active"
        case other:
            assert other == "registered"
    return user
