"""Builds the telemetry of a process that answers HTTP."""

from collections.abc import Sequence

from application.metrics.readings import (
    backlog_readings,
    cache_readings,
    projection_readings,
    writer_readings,
)
from application.metrics.relay import relay_readings
from application.metrics.telemetry import Reading, Source, Telemetry
from application.queries.directory import DirectoryQueries
from infrastructure.cache.redis_cache import RedisCache
from infrastructure.relay.records import PostgresRelayRecords
from infrastructure.telemetry.backlog import PostgresBacklog
from infrastructure.telemetry.prometheus import PrometheusTelemetry
from interfaces.composition.event_store import EventStore
from interfaces.http.endpoint.services import Readiness


def telemetry_of(
    version: str,
    store: EventStore,
    queries: DirectoryQueries,
    cache: RedisCache | None,
    readiness: Readiness,
) -> Telemetry:
    """Counters of this process and readings taken at each scrape."""
    backlog = PostgresBacklog(store.database)

    async def writer() -> Sequence[Reading]:
        return writer_readings(store.writer)

    async def projections() -> Sequence[Reading]:
        return projection_readings(await queries.projections())

    async def waiting() -> Sequence[Reading]:
        return backlog_readings(await backlog.read())

    sources: list[Source] = [writer, projections, waiting]
    if readiness["relay"] is not None:
        relay = PostgresRelayRecords(store.database)

        async def relay_status() -> Sequence[Reading]:
            return relay_readings(await relay.status())

        sources.append(relay_status)
    if cache is not None:
        counts = cache.counts

        async def cache_lookups() -> Sequence[Reading]:
            return cache_readings(counts)

        sources.append(cache_lookups)
    checks = {name: check for name, check in readiness.items() if check is not None}
    return PrometheusTelemetry(version, sources, checks)
