"""Whether the log, what its callers were told over HTTP, and the views agree."""

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import httpx2

from tests.support.http.load import Answer, Sent
from tests.support.log.invariants import Logged, Place, Write, breaches, stale_views

Json = dict[str, Any]

# Each says that this request recorded nothing.
_NOTHING: Final = frozenset({"unavailable", "overloaded", "conflict"})
_UNKNOWN: Final = frozenset({"", "outcome-unknown"})
_MAX_SAID: Final = 20
_GETS_AT_ONCE: Final = 32


async def head(client: httpx2.AsyncClient) -> int:
    """The last position of the log."""
    answer = await client.get("/v1/events", params={"limit": 1})
    return answer.raise_for_status().json()["head"]


async def all_events(client: httpx2.AsyncClient, after: int = 0) -> list[Json]:
    """The log after a position, page by page."""
    return [event async for page in _pages(client, after) for event in page]


def disagreements(events: Sequence[Json], sent: Sequence[Sent]) -> list[str]:
    """Where the log breaks an invariant, or the senders of all its commands were told a lie."""
    wrong = breaches([_logged(event) for event in events], map(_write, sent))
    return wrong + [f"{one.command.key} {lie}" for one in sent for lie in _lies(one)]


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
    client: httpx2.AsyncClient, sent: Sequence[Sent], *, after: int = 0
) -> None:
    """The log after a position is what all its senders were told, and every user is as it tells."""
    events = await all_events(client, after)
    wrong = disagreements(events, sent)
    assert not wrong, "\n".join(wrong[:_MAX_SAID])
    users = folded(events)
    answers = await shown(client, users, int(events[-1]["position"]))
    for user, answer in answers.items():
        told = as_shown(users[user])
        assert answer.items() >= told.items(), (answer, told)


async def assert_views_are_a_fresh_fold(database_url: str, master_keys: str) -> None:
    """Version, chain and every field of every view, and every counter."""
    assert await stale_views(database_url, master_keys) == []


async def _pages(client: httpx2.AsyncClient, after: int) -> AsyncGenerator[list[Json]]:
    while True:
        answer = await client.get("/v1/events", params={"after": after, "limit": 1000})
        page = answer.raise_for_status().json()
        if page["next_after"] == after:
            return
        yield page["items"]
        after = page["next_after"]


def _logged(event: Json) -> Logged:
    return Logged(
        cause=event["correlationid"],
        type=event["type"],
        stream=event["subject"],
        version=event["version"],
        position=int(event["position"]),
        event_id=event["id"],
        recorded_at=datetime.fromisoformat(event["time"]),
    )


def _write(sent: Sent) -> Write:
    told = tuple(_place(answer) for answer in sent.answers if answer.accepted)
    refused = {answer.slug for answer in sent.answers if not answer.accepted}
    return Write(
        name=sent.command.key,
        causes=sent.command.causes,
        told=told,
        denied=bool(refused) and not told and not _UNKNOWN & refused,
    )


def _place(answer: Answer) -> Place:
    """A deletion is answered without a body, so without a version."""
    assert answer.user is not None
    assert answer.position is not None
    return Place(stream=answer.user, position=answer.position, version=answer.version)


def _lies(sent: Sent) -> Generator[str]:
    for answer in sent.answers:
        if not answer.accepted and answer.slug not in _NOTHING | _UNKNOWN:
            yield f"was refused as {answer.slug}"
    accepted = [answer for answer in sent.answers if answer.accepted]
    if any(not answer.replayed for answer in accepted[1:]):
        yield "was not told that it is a repeat"


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
