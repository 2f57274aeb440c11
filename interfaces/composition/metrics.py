"""Builds the telemetry of a process that answers HTTP."""

from collections.abc import Sequence

from application.metrics.readings import (
    backlog_readings,
    cache_readings,
    projection_readings,
    reaction_readings,
    writer_readings,
)
from application.metrics.relay import relay_readings
from application.metrics.telemetry import Reading, Source, Telemetry
from application.metrics.webhooks import webhook_readings
from application.queries.directory import DirectoryQueries
from application.reactions.admin import ReactionAdmin
from infrastructure.cache.redis_cache import RedisCache
from infrastructure.relay.records import PostgresRelayRecords
from infrastructure.telemetry.backlog import PostgresBacklog
from infrastructure.telemetry.prometheus import PrometheusTelemetry
from infrastructure.webhooks.records import PostgresDeliveryRecords
from interfaces.composition.event_store import EventStore
from interfaces.composition.webhooks import webhook_directory
from interfaces.http.endpoint.services import Readiness


def telemetry_of(
    version: str,
    store: EventStore,
    queries: DirectoryQueries,
    cache: RedisCache | None,
    readiness: Readiness,
    reactions: ReactionAdmin,
) -> Telemetry:
    """Counters of this process and readings taken at each scrape."""
    backlog = PostgresBacklog(store.database)

    async def writer() -> Sequence[Reading]:
        return writer_readings(store.writer)

    async def projections() -> Sequence[Reading]:
        return projection_readings(await queries.projections())

    async def waiting() -> Sequence[Reading]:
        return backlog_readings(await backlog.read())

    records, directory = PostgresDeliveryRecords(store.database), webhook_directory(store)

    async def webhooks() -> Sequence[Reading]:
        living = [each.id for each in await directory.living()]
        # The head is read last, so that no position is above it.
        loaded, states = await directory.load(living), await records.states()
        return webhook_readings(loaded, states, await store.feed.head())

    async def reacting() -> Sequence[Reading]:
        return reaction_readings(await reactions.statuses())

    sources: list[Source] = [writer, projections, waiting, webhooks, reacting]
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
