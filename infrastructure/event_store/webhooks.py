"""The webhooks in the log: which there are by their claims, and their states by their streams."""

from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final
from uuid import UUID

from structlog import get_logger

from application.context import TENANT
from application.keys.ports import SealBroken, UnknownMasterKey
from application.webhooks.ports import LivingWebhook
from application.webhooks.states import WebhookAt, folded
from domain.webhook.claims import PLACES, SCOPE
from infrastructure.database import Database
from infrastructure.event_store.mapper import RollbookMapper
from infrastructure.event_store.serializer import Undecodable
from infrastructure.event_store.stored_rows import COLUMNS, PROBED_KEY, StoredRow
from infrastructure.keys import MasterKeyRing

LIVING: Final = Path(__file__).with_name("sql").joinpath("living_webhooks.sql").read_text()
_EVENTS: Final = f"""
SELECT {COLUMNS} FROM stored_events e {PROBED_KEY}
WHERE e.originator_id = ANY (%s) AND e.kind = 'webhook'
ORDER BY e.originator_id, e.originator_version"""

log = get_logger(__name__)


class PostgresWebhookDirectory:
    """See `WebhookDirectory`."""

    def __init__(self, database: Database, mapper: RollbookMapper, keys: MasterKeyRing) -> None:
        self._database = database
        self._mapper = mapper
        self._places = {keys.claim(SCOPE, place): place for place in PLACES}

    async def living(self) -> Sequence[LivingWebhook]:
        return [LivingWebhook(stream, version) for _, stream, version in await self._held()]

    async def free_place(self) -> str | None:
        held = {self._places[bytes(value)] for value, _, _ in await self._held()}
        return next((place for place in PLACES if place not in held), None)

    async def load(self, ids: Collection[UUID]) -> Mapping[UUID, WebhookAt]:
        rows = await self._database.rows(_EVENTS, (list(ids),)) if ids else []
        stored = map(StoredRow.of, rows)
        streams = groupby(stored, key=lambda row: row.originator_id)
        states = {stream: self._folded(stream, list(events)) for stream, events in streams}
        return {stream: state for stream, state in states.items() if state is not None}

    def _folded(self, stream: UUID, rows: Sequence[StoredRow]) -> WebhookAt | None:
        try:
            return folded(self._mapper.recorded(row) for row in rows)
        except (Undecodable, SealBroken, UnknownMasterKey) as error:
            log.error("webhook_unreadable", webhook=str(stream), error=type(error).__name__)
            return None

    async def _held(self) -> Sequence[tuple[bytes, UUID, int]]:
        parameters = {"places": list(self._places), "scope": SCOPE, "tenant": TENANT}
        return [
            (value, stream, version)
            for value, stream, version in await self._database.rows(LIVING, parameters)
        ]
