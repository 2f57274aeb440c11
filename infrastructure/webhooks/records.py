"""The records of deliveries in Postgres, for operators: progress, attempts and parked users."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

from psycopg.types.numeric import Int8

from application.context import TENANT
from application.webhooks.delivery_ports import Attempt, DeliveryState, ParkedUser
from infrastructure.database import Database
from infrastructure.webhooks.ledger import KEPT_ATTEMPTS, parked_user

_MAX_COUNTED: Final = 10_000
_STATES: Final = Path(__file__).with_name("sql").joinpath("states.sql").read_bytes()
_ATTEMPTS: Final = b"""
SELECT number, event_id, user_id, position, status, error, milliseconds, at, tries
FROM webhook_attempts
WHERE tenant = %(tenant)s AND webhook = %(webhook)s
    AND (%(before)s::bigint IS NULL OR number < %(before)s)
ORDER BY number DESC LIMIT %(limit)s"""
_PARKED: Final = b"""
SELECT user_id, position, tries, error, parked_at, next_attempt_at FROM webhook_parked
WHERE tenant = %(tenant)s AND webhook = %(webhook)s
    AND (%(after)s::uuid IS NULL OR user_id > %(after)s)
ORDER BY user_id LIMIT %(limit)s"""
# The time of parking has passed by every clock.
_RETRY: Final = b"""
UPDATE webhook_parked SET tries = 0, next_attempt_at = parked_at
WHERE tenant = %s AND webhook = %s AND user_id = %s
RETURNING user_id"""


class PostgresDeliveryRecords:
    """See `DeliveryRecords` and `ParkedUsers`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def states(self) -> Mapping[UUID, DeliveryState]:
        parameters = {"tenant": TENANT, "max_counted": Int8(_MAX_COUNTED)}
        return {
            webhook: DeliveryState(
                position=position,
                delivered=delivered,
                failed=failed,
                last_success_at=last_success_at,
                last_failure_at=last_failure_at,
                failing_since=failing_since,
                next_attempt_at=next_attempt_at,
                parked=parked,
            )
            for (
                webhook,
                position,
                delivered,
                failed,
                last_success_at,
                last_failure_at,
                failing_since,
                next_attempt_at,
                parked,
            ) in await self._database.rows(_STATES, parameters)
        }

    async def attempts(self, webhook: UUID, before: int | None, limit: int) -> Sequence[Attempt]:
        parameters = {
            "tenant": TENANT,
            "webhook": webhook,
            "before": None if before is None else Int8(before),
            "limit": min(limit, KEPT_ATTEMPTS),
        }
        return [
            Attempt(
                number=number,
                event_id=event_id,
                user=user,
                position=position,
                status=status,
                error=error,
                milliseconds=milliseconds,
                at=at,
                tries=tries,
            )
            for number, event_id, user, position, status, error, milliseconds, at, tries in (
                await self._database.rows(_ATTEMPTS, parameters)
            )
        ]

    async def parked(self, webhook: UUID, after: UUID | None, limit: int) -> Sequence[ParkedUser]:
        parameters = {"tenant": TENANT, "webhook": webhook, "after": after, "limit": limit}
        return [parked_user(row) for row in await self._database.rows(_PARKED, parameters)]

    async def retry(self, webhook: UUID, user: UUID) -> bool:
        async with self._database.transaction() as connection:
            done = await connection.execute(_RETRY, (TENANT, webhook, user))
            return await done.fetchone() is not None
