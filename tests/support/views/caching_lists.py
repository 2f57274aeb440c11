"""Readers of cached lists, and the check of the pages that they got."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Coroutine, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct

from application.errors import Unavailable, ViewBehind
from application.log.follower import PAGE_EVENTS
from application.queries.directory import Answer, UserList, UserPage
from projections.users import UserRow, evolve
from tests.support.views.caching import CachedSide, People

_QUERIES: Final = (
    UserList(limit=20, sort="created_at", descending=True),
    UserList(limit=20, sort="updated_at", descending=True),
    UserList(limit=10, sort="created_at", descending=True, words="zoe"),
)


class SeenPage(Struct, frozen=True):
    """A page that a reader got, with the version of each user on it."""

    at_least: int
    position: int
    versions: Mapping[UUID, int]


def list_readers(
    side: CachedSide, people: People, seen: list[SeenPage]
) -> Iterable[Coroutine[Any, Any, None]]:
    """Readers that read lists without end; one read in ten must include the last change."""
    return (_read_lists(side, people, seen) for _ in range(4))


async def _read_lists(side: CachedSide, people: People, seen: list[SeenPage]) -> None:
    while True:
        await asyncio.sleep(0.001)
        at_least = max(people.last.values(), default=0) if random.random() < 0.1 else 0
        with suppress(ViewBehind, Unavailable):
            query = random.choice(_QUERIES)
            answer = await side.documents.users(query, _render, at_least=at_least)
            versions = msgspec.json.decode(answer.value, type=dict[UUID, int])
            seen.append(SeenPage(at_least, answer.position, versions))


def _render(answer: Answer[UserPage]) -> bytes:
    return msgspec.json.encode({str(each.id): each.version for each in answer.value.items})


async def wrong_pages(side: CachedSide, seen: Iterable[SeenPage]) -> list[str]:
    """Users on a page that were out of date at its position, or should not be listed."""
    moments = defaultdict[UUID, list[tuple[int, UserRow]]](list)
    position = 0
    while (page := await side.read_side.events.feed.read(position, PAGE_EVENTS)).events:
        for recorded in page.events:
            known = moments[recorded.stream]
            row = evolve(known[-1][1] if known else None, recorded)
            known.append((recorded.position, row))
        position = page.reached
    return [wrong for one in seen for wrong in _wrong_facts(one, moments)]


def _wrong_facts(
    seen: SeenPage, moments: Mapping[UUID, list[tuple[int, UserRow]]]
) -> Iterable[str]:
    if seen.position < seen.at_least:
        yield f"a page at {seen.position}, asked for {seen.at_least}"
    for user_id, version in seen.versions.items():
        expected = sum(position <= seen.position for position, _ in moments[user_id])
        if version < expected:
            yield f"{user_id} at {seen.position} is version {version} instead of {expected}"
        if moments[user_id][version - 1][1].status not in ("active", "suspended"):
            yield f"{user_id} at {seen.position} was {moments[user_id][version - 1][1].status}"
