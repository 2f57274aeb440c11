"""Checks that the log, the HTTP answers to its callers, and the views agree."""

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import httpx2

from tests.support.http.load import Answer, Sent
from tests.support.log.invariants import Logged, Place, Write, stale_views, violations

Json = dict[str, Any]

# After each of these answers, the request has recorded nothing.
_NOTHING: Final = frozenset({"unavailable", "overloaded", "conflict"})
_UNKNOWN: Final = frozenset({"", "outcome-unknown"})
_MAX_REPORTED: Final = 20
_CONCURRENT_GETS: Final = 32


async def head(client: httpx2.AsyncClient) -> int:
    """The last position of the log."""
    answer = await client.get("/v1/events", params={"limit": 1})
    return answer.raise_for_status().json()["head"]


async def all_events(client: httpx2.AsyncClient, after: int = 0) -> list[Json]:
    """The log after a position, page by page."""
    return [event async for page in _pages(client, after) for event in page]


def disagreements(events: Sequence[Json], sent: Sequence[Sent]) -> list[str]:
    """The invariants that the log breaks, and the answers to its commands that were wrong."""
    broken = violations([_logged(event) for event in events], map(_write, sent))
    return broken + [f"{one.command.key} {wrong}" for one in sent for wrong in _wrong_answers(one)]


def folded(events: Iterable[Json]) -> dict[str, Json]:
    """Each user after these events; uses only what the API contract says."""
    users: dict[str, Json] = {}
    for event in events:
        users[event["subject"]] = _after(users.get(event["subject"]), event)
    return users


async def fetched_users(
    client: httpx2.AsyncClient, users: Iterable[str], at_least: int
) -> dict[str, Json]:
    """The answer of `GET /v1/users/{id}` for each user; for a deleted user, the problem."""
    concurrency = asyncio.Semaphore(_CONCURRENT_GETS)

    async def fetch(user: str) -> Json:
        async with concurrency:
            headers = {"Rollbook-Min-Position": str(at_least)}
            answer = await client.get(f"/v1/users/{user}", headers=headers)
            assert answer.status_code in (200, 410), answer.text
            return answer.json()

    ids = list(users)
    return dict(zip(ids, await asyncio.gather(*map(fetch, ids)), strict=True))


def expected_answer(user: Json) -> Json:
    """What the API must answer for a user in that state."""
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
    """Check that the log after a position agrees with all answers and with every user."""
    events = await all_events(client, after)
    wrong = disagreements(events, sent)
    assert not wrong, "\n".join(wrong[:_MAX_REPORTED])
    users = folded(events)
    answers = await fetched_users(client, users, int(events[-1]["position"]))
    for user, answer in answers.items():
        expected = expected_answer(users[user])
        assert answer.items() >= expected.items(), (answer, expected)


async def assert_views_are_a_fresh_fold(database_url: str, master_keys: str) -> None:
    """Check every view and every counter against a fold of the log."""
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
    acknowledged = tuple(_place(answer) for answer in sent.answers if answer.accepted)
    refused = {answer.slug for answer in sent.answers if not answer.accepted}
    return Write(
        name=sent.command.key,
        causes=sent.command.causes,
        acknowledged=acknowledged,
        denied=bool(refused) and not acknowledged and not _UNKNOWN & refused,
    )


def _place(answer: Answer) -> Place:
    """The answer to a deletion has no body, and so no version."""
    assert answer.user is not None
    assert answer.position is not None
    return Place(stream=answer.user, position=answer.position, version=answer.version)


def _wrong_answers(sent: Sent) -> Generator[str]:
    for answer in sent.answers:
        if not answer.accepted and answer.slug not in _NOTHING | _UNKNOWN:
            yield f"was refused as {answer.slug}"
    accepted = [answer for answer in sent.answers if answer.accepted]
    if any(not answer.replayed for answer in accepted[1:]):
        yield "was not answered as a repeat"


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
            others = {k: v for k, v in user["attributes"].items() if k not in data["removed"]}
            user["attributes"] = {**others, **data["set"]}
        case "suspended" | "deleted" as status:
            user["status"] = status
        case "reinstated":
            user["status"] = "active"
        case other:
            assert other == "registered"
    return user
