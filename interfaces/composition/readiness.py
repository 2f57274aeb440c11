"""Builds the checks of readiness: one for each server and for each part of Rollbook."""

from application.errors import MasterKeyMissing, NotRunning, Unavailable
from application.messaging.health import check_relay
from application.projector.automatic_rebuild import check_views
from infrastructure.jobs.heartbeats import worker_lives
from infrastructure.relay.records import PostgresRelayRecords
from infrastructure.views.generations.serving import PostgresServingShapes
from interfaces.composition.shared import Parts
from interfaces.http.endpoint.services import Readiness, ReadinessCheck
from interfaces.settings import Settings
from projections.registry import PROJECTIONS


def readiness_of(parts: Parts) -> Readiness:
    """The checks by name; None for what is not configured."""
    shapes = PostgresServingShapes(parts.database)
    relays = parts.settings.amqp_url is not None
    return {
        "postgres": lambda: _check_postgres(parts),
        "redis": parts.cache.answers if parts.cache is not None else None,
        "rabbitmq": _broker_check(parts.settings.need("amqp_url")) if relays else None,
        "master-key": lambda: _check_master_key(parts),
        "views": lambda: check_views(PROJECTIONS, shapes),
        "projector": lambda: _check_projector(parts),
        "relay": (lambda: _check_relay(parts)) if relays else None,
        "worker": lambda: _check_worker(parts),
        "mail": _mail_check(parts.settings),
    }


def _broker_check(amqp_url: str) -> ReadinessCheck:
    # Only a process that has a broker loads its client.
    from infrastructure.bus.ping import BrokerPing

    return BrokerPing(amqp_url).answers


def _mail_check(settings: Settings) -> ReadinessCheck | None:
    if settings.smtp_url is None:
        return None
    # Only a process that sends or checks mail loads its client.
    from interfaces.composition.mail import mail_ping_of

    ping = mail_ping_of(settings)
    return None if ping is None else ping.answers


async def _check_postgres(parts: Parts) -> None:
    await parts.database.rows("SELECT 1")
    await parts.store.writer.disk.check(parts.database)


async def _check_master_key(parts: Parts) -> None:
    try:
        await parts.store.log.check_master_key()
    except MasterKeyMissing:
        raise
    except Unavailable:
        # That Postgres is away says nothing about the key, and the other check tells it.
        return


async def _check_projector(parts: Parts) -> None:
    statuses = (await parts.directory.projections()).value
    if stopped := [each.name for each in statuses if each.state == "stopped"]:
        raise NotRunning(f"No projector leads {', '.join(stopped)}: these views stand still.")


async def _check_relay(parts: Parts) -> None:
    check_relay(await PostgresRelayRecords(parts.database).status())


async def _check_worker(parts: Parts) -> None:
    if not await worker_lives(parts.database):
        raise NotRunning("No worker runs jobs: erasures, exports and rebuilds wait.")
