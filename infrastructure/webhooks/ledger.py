"""The progress of deliveries in Postgres; the process's leading session holds the locks."""

from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import asdict

from application.context import TENANT
from application.log.follower import NotLeading
from application.webhooks.delivery_ledger import (
    Begun,
    Checkpoint,
    DeliveryProgress,
    Membership,
    Saved,
)
from application.webhooks.delivery_ports import ParkedUser
from application.webhooks.health import Health
from domain.webhook.claims import SCOPE
from infrastructure.database import Database
from infrastructure.leadership import IS_LED, Lead
from infrastructure.webhooks.places import take_place

KEPT_ATTEMPTS: Final = 1000

_SECONDS: Final = 5.0
# A crash of the server loses the last saves as a whole: their events are then delivered again, with
# the same ids.
_SETTINGS: Final = b"SELECT set_config('synchronous_commit', 'off', true)"

_SQL: Final = Path(__file__).with_name("sql")
_SAVE: Final = _SQL.joinpath("save.sql").read_text().replace("{IS_LED}", IS_LED)
_RENEW: Final = _SQL.joinpath("renew.sql").read_text().replace("{IS_LED}", IS_LED)
_REMOVE_DELETED: Final = _SQL.joinpath("remove_deleted.sql").read_bytes()
_BEGIN: Final = b"""
INSERT INTO webhook_progress (tenant, webhook, position) VALUES (%s, %s, %s)
ON CONFLICT DO NOTHING"""
_STORED: Final = b"""
SELECT position, version, replayed, resume_at, last_success_at, last_failure_at, failing_since,
    failures, probes, next_attempt_at
FROM webhook_progress WHERE tenant = %s AND webhook = %s"""
_PARKED: Final = b"SELECT user_id FROM webhook_parked WHERE tenant = %s AND webhook = %s"
_DUE: Final = b"""
SELECT user_id, position, tries, error, parked_at, next_attempt_at FROM webhook_parked
WHERE tenant = %(tenant)s AND webhook = %(webhook)s AND next_attempt_at <= %(now)s
    AND user_id <> ALL (%(without)s::uuid[])
ORDER BY next_attempt_at LIMIT %(limit)s"""


def leader_of(webhook: UUID) -> str:
    """The name under which a worker leads a webhook."""
    return f"webhook {TENANT} {webhook}"


class PostgresDeliveryLedger:
    """See `DeliveryLedger`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def lead(self, webhook: UUID) -> AsyncGenerator[DeliveryProgress]:
        async with self._database.leading.lead(leader_of(webhook)) as lead:
            yield _Progress(self._database, lead, webhook)

    @asynccontextmanager
    async def join(self) -> AsyncGenerator[Membership]:
        async with take_place(self._database) as membership:
            yield membership

    async def remove_deleted(self) -> Sequence[UUID]:
        parameters = {"tenant": TENANT, "scope": SCOPE}
        return [webhook for (webhook,) in await self._database.rows(_REMOVE_DELETED, parameters)]


class _Progress:
    def __init__(self, database: Database, lead: Lead, webhook: UUID) -> None:
        self._database = database
        self._lead = lead
        self._webhook = webhook
        self._position = 0

    async def begin(self, after: int) -> Begun:
        self._lead.check()
        key = (TENANT, self._webhook)
        async with self._database.connection(_SECONDS) as connection:
            await connection.execute(_BEGIN, (*key, after))
        rows = await self._database.rows(_STORED, key)
        if not rows:
            raise NotLeading(NotLeading.__doc__)  # removed meanwhile, with its webhook
        position, version, replayed, resume_at, succeeded, failed, since, *counts = rows[0]
        failures, probes, next_attempt_at = counts
        self._position = position
        return Begun(
            checkpoint=Checkpoint(
                position=position, version=version, replayed=replayed, resume_at=resume_at
            ),
            health=Health(
                last_success_at=succeeded,
                last_failure_at=failed,
                failing_since=since,
                failures=failures,
                probes=probes,
                next_attempt_at=next_attempt_at,
            ),
            parked=frozenset(user for (user,) in await self._database.rows(_PARKED, key)),
        )

    async def save(self, saved: Saved) -> None:
        health = saved.health
        parked = [each for each in saved.parked.values() if each is not None]
        await self._write(
            _SAVE,
            saved.checkpoint,
            {
                "last_success_at": health.last_success_at,
                "last_failure_at": health.last_failure_at,
                "failing_since": health.failing_since,
                "failures": health.failures,
                "probes": health.probes,
                "next_attempt_at": health.next_attempt_at,
                "delivered": saved.delivered,
                "failed": saved.failed,
                "parked": msgspec.json.encode(parked).decode(),
                "unparked": [user for user, row in saved.parked.items() if row is None],
                "attempts": msgspec.json.encode(saved.attempts).decode(),
                "kept": KEPT_ATTEMPTS,
            },
        )

    async def renew(self, checkpoint: Checkpoint, replay_after: int | None) -> None:
        await self._write(_RENEW, checkpoint, {"replay_after": replay_after})

    async def _write(self, statement: str, checkpoint: Checkpoint, values: dict[str, Any]) -> None:
        self._lead.check()
        given: dict[str, Any] = {
            "tenant": TENANT,
            "webhook": self._webhook,
            "before": self._position,
            **asdict(checkpoint),
            **self._lead.fence,
            **values,
        }
        # If a reply is lost, the retry finds the checkpoint moved, as if by another leader.
        rows = await self._database.rows(statement, given, seconds=_SECONDS, settings=_SETTINGS)
        if not rows[0][0]:
            raise NotLeading(NotLeading.__doc__)
        self._position = checkpoint.position

    async def due(
        self, now: datetime, limit: int, without: Collection[UUID]
    ) -> Sequence[ParkedUser]:
        given = {
            "tenant": TENANT,
            "webhook": self._webhook,
            "now": now,
            "without": list(without),
            "limit": limit,
        }
        return [parked_user(row) for row in await self._database.rows(_DUE, given)]


def parked_user(row: Sequence[Any]) -> ParkedUser:
    """From the columns of `webhook_parked`, without tenant and webhook."""
    user, position, tries, error, parked_at, next_attempt_at = row
    return ParkedUser(
        user=user,
        position=position,
        tries=tries,
        error=error,
        parked_at=parked_at,
        next_attempt_at=next_attempt_at,
    )
