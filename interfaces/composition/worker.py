"""The worker role: its job kinds, and the loops that run them."""

from collections.abc import Coroutine
from typing import Any

from application.erasure.sweep import run_erasures
from application.jobs.maintenance import clean_up_jobs, purge_jobs
from application.jobs.model import JobKind
from application.jobs.relay_replay import relay_replay_jobs
from application.keys.rotation import key_rotation
from infrastructure.bus.rabbitmq import RabbitMQBus
from infrastructure.event_store.feed import PostgresSealedFeed
from infrastructure.housekeeping.postgres import PostgresHousekeeping
from infrastructure.jobs.swept import PostgresSweptJobs
from infrastructure.jobs.worker import JobWorkers
from infrastructure.keys.store import key_stores
from infrastructure.relay.records import PostgresRelayRecords
from interfaces.composition.exports import export_kind
from interfaces.composition.projector import (
    automatic_rebuilds,
    drop_generations,
    rebuild_kinds,
)
from interfaces.composition.reactions import open_reactions
from interfaces.composition.shared import Parts
from interfaces.composition.webhooks import deliver_webhooks, webhook_sender


def open_worker(parts: Parts) -> list[Coroutine[Any, Any, None]]:
    """The tasks of a worker."""
    reacting = open_reactions(parts)
    workers = JobWorkers(
        _job_kinds(parts), parts.database, parts.jobs, parts.doorbell, reactions=reacting.work
    )
    return [
        workers.run(),
        *reacting.tasks,
        deliver_webhooks(
            parts.store, parts.doorbell, parts.notifications, webhook_sender(parts.settings)
        ),
        run_erasures(parts.coverage, PostgresSweptJobs(parts.database)),
        drop_generations(parts.database),
        automatic_rebuilds(parts.database, parts.jobs),
    ]


def _job_kinds(parts: Parts) -> list[JobKind]:
    """The job kinds that a worker can run."""
    housekeeping = PostgresHousekeeping(parts.database)
    return [
        purge_jobs(housekeeping),
        clean_up_jobs(housekeeping),
        export_kind(parts.store, parts.doorbell, parts.exports),
        *rebuild_kinds(parts.store, parts.notifications),
        _relay_replay(parts),
        key_rotation(key_stores(parts.database), parts.masters),
    ]


def _relay_replay(parts: Parts) -> JobKind:
    given, store = parts.settings.amqp_url, parts.store
    bus = None if given is None else RabbitMQBus(given.get_secret_value(), "rollbook relay replay")
    feed = PostgresSealedFeed(parts.database, store.identity.breaks)
    return relay_replay_jobs(bus, PostgresRelayRecords(parts.database), feed, store.identity.id)
