"""Builds the telemetry of a process that answers HTTP."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from application.metrics.readings import (
    backlog_readings,
    cache_readings,
    projection_readings,
    writer_readings,
)
from application.metrics.telemetry import Reading, Source, Telemetry
from application.queries.directory import DirectoryQueries
from infrastructure.cache.redis_cache import RedisCache
from infrastructure.telemetry.backlog import PostgresBacklog
from infrastructure.telemetry.prometheus import PrometheusTelemetry
from interfaces.composition.event_store import EventStore


def telemetry_of(
    version: str,
    store: EventStore,
    queries: DirectoryQueries,
    cache: RedisCache | None,
    checks: Mapping[str, Callable[[], Awaitable[None]]],
) -> Telemetry:
    """Counters of this process and readings taken at each scrape; `checks` are of servers."""
    backlog = PostgresBacklog(store.database)

    async def writer() -> Sequence[Reading]:
        return writer_readings(store.writer)

    async def projections() -> Sequence[Reading]:
        return projection_readings(await queries.projections())

    async def waiting() -> Sequence[Reading]:
        return backlog_readings(await backlog.read())

    sources: list[Source] = [writer, projections, waiting]
    if cache is not None:
        counts = cache.counts

        async def cache_lookups() -> Sequence[Reading]:
            return cache_readings(counts)

        sources.append(cache_lookups)
        checks = {**checks, "redis": cache.answers}
    return PrometheusTelemetry(version, sources, checks)
