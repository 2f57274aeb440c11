"""A directory in memory with a real cache in front of its views."""

from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from application.cache.documents import CachedDocuments
from application.cache.followers import CacheFollower
from application.cache.ports import ChangedStreams, EntriesAt
from application.projector.view_store import Entry, ProjectionProgress, Slot
from application.queries.directory import Answer, UserList
from application.queries.documents import RenderedDocuments, RenderPage, UserDocument
from infrastructure.cache.redis_cache import RedisCache
from interfaces.http.app import create_app
from projections.registry import PROJECTIONS
from tests.support.http.directory import Directory


@asynccontextmanager
async def cached(directory: Directory, redis_url: str) -> AsyncGenerator[Directory]:
    """The directory with a cache on Redis in front of its views."""
    async with RedisCache.open(redis_url, uuid7(), 1) as cache:
        documents = FollowedDocuments(directory, cache)
        directory.services = replace(directory.services, documents=documents)
        directory.app = create_app(directory.services)
        yield directory


class FollowedDocuments:
    """See `Documents`: the cached documents; the followers catch up before each query."""

    def __init__(self, directory: Directory, cache: RedisCache) -> None:
        self._directory = directory
        self._cache = cache
        views = RenderedDocuments(directory.views)
        self._documents = CachedDocuments(cache, views, self)
        self._followers = [
            CacheFollower(Slot(projection), cache.slots, self, self) for projection in PROJECTIONS
        ]

    async def user(self, user_id: UUID, *, at_least: int = 0) -> Answer[UserDocument | None]:
        await self._follow()
        return await self._documents.user(user_id, at_least=at_least)

    async def users(
        self, query: UserList, render: RenderPage, *, at_least: int = 0
    ) -> Answer[bytes]:
        await self._follow()
        return await self._documents.users(query, render, at_least=at_least)

    async def stats(self, now: datetime, *, at_least: int = 0) -> Answer[bytes]:
        await self._follow()
        return await self._documents.stats(now, at_least=at_least)

    async def _follow(self) -> None:
        for follower in self._followers:
            while await follower.step():
                pass
        await self._cache.idle()
        await self._documents.refresh()

    # Ports of the followers

    async def changed(self, after: int, limit: int) -> ChangedStreams:
        """See `ChangeFeed`."""
        page = await self._directory.log.read(after, limit)
        return ChangedStreams({(each.kind, each.stream) for each in page.events}, page.reached)

    async def entries(self, slot: Slot[Any], streams: Collection[UUID]) -> EntriesAt[Any]:
        """See `ViewEntries`."""
        rows, position = await self._directory.views.rows()
        found = {stream: rows[stream] for stream in streams if stream in rows}
        return EntriesAt(position, 0, {s: Entry(row, row.version, b"") for s, row in found.items()})

    async def progress(self, projection: str) -> ProjectionProgress:
        """See `ProgressSource`."""
        _, position = await self._directory.views.rows()
        return ProjectionProgress(1, position)
