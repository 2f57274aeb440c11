"""The queries of the directory, answered from the views in Postgres."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from application.doorbell import Doorbell
from application.log.event_log import EventFeed
from application.projector.view_store import ProjectionProgress
from application.queries.directory import Answer, ProjectionStatus, Stats, UserList, UserPage
from infrastructure.database import Database
from infrastructure.views.queries.progress import ProjectionProgressReader
from infrastructure.views.queries.statistics import counters, first_day, statistics
from infrastructure.views.queries.status import status_context, status_of
from infrastructure.views.queries.user_filters import can_match
from infrastructure.views.queries.users import one_user, page_of, page_query, user_of
from infrastructure.views.sql.reader import TableGone, ViewReader
from infrastructure.views.sql.shapes import Shapes
from projections.headcount import HEADCOUNT
from projections.registry import PROJECTIONS
from projections.users import USERS, UserView


def _utc_now() -> datetime:
    return datetime.now(UTC)


class PostgresDirectory:
    """See `DirectoryQueries`. An answer's position is read with its data or before it."""

    def __init__(
        self,
        database: Database,
        feed: EventFeed,
        doorbell: Doorbell,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._reader = reader = ViewReader(database)
        self._shapes = Shapes(database)
        self._feed = feed
        self._now = now
        self._progress_readers = {
            projection.name: ProjectionProgressReader(projection, reader, feed, doorbell)
            for projection in PROJECTIONS
        }
        self._users = self._progress_readers[USERS.name]
        self._headcount = self._progress_readers[HEADCOUNT.name]

    async def user(self, user_id: UUID, *, at_least: int = 0) -> Answer[UserView | None]:
        answer = await self._user(user_id)
        while answer.position < at_least:
            await self._users.wait_for_position(at_least)
            answer = await self._user(user_id)
        return answer

    async def users(self, query: UserList, *, at_least: int = 0) -> Answer[UserPage]:
        progress = await self._users.wait_for_position(at_least)
        if not can_match(query):
            return Answer(UserPage((), None), progress.position, progress.generation)
        try:
            slot = await self._shapes.slot(USERS, progress.generation)
            statement, parameters = page_query(query, slot)
            rows = await self._reader.rows(statement, parameters, planned_for_values=True)
        except TableGone:
            await self._users.progress_after_switch(progress.generation)
            return await self.users(query, at_least=at_least)
        return Answer(page_of(query, rows), progress.position, progress.generation)

    async def stats(self, now: datetime, *, at_least: int = 0) -> Answer[Stats]:
        progress = await self._headcount.wait_for_position(at_least)
        parameters = {"first_day": first_day(now)}
        try:
            slot = await self._shapes.slot(HEADCOUNT, progress.generation)
            rows = await self._reader.rows(counters(slot), parameters)
        except TableGone:
            await self._headcount.progress_after_switch(progress.generation)
            return await self.stats(now, at_least=at_least)
        stats = statistics({row[0]: row[1] for row in rows}, now)
        return Answer(stats, progress.position, progress.generation)

    async def projections(self) -> Answer[Sequence[ProjectionStatus]]:
        found = [(each, await self._progress_readers[each.name].read()) for each in PROJECTIONS]
        context = await status_context(self._reader, self._feed)
        statuses = [
            await status_of(projection, progress, context, self._feed, self._now())
            for projection, progress in found
        ]
        return Answer(statuses, min(progress.position for _, progress in found))

    async def progress(self, projection: str) -> ProjectionProgress:
        return await self._progress_readers[projection].read()

    async def _user(self, user_id: UUID) -> Answer[UserView | None]:
        """One round trip, unless the serving generation has changed since the last read."""
        progress = await self._users.last_read()
        while True:
            try:
                statement = one_user(await self._shapes.slot(USERS, progress.generation))
                rows = await self._reader.rows(statement, {"id": user_id}, by_key=True)
            except TableGone:
                rows = ()
            if rows and rows[0][0] == progress.generation:
                _, position, *fields = rows[0]
                # The id is NULL, like the other fields, if there is no such user.
                found = user_of(fields) if fields[0] is not None else None
                return Answer(found, position, progress.generation)
            progress = await self._users.progress_after_switch(progress.generation)
