"""The webhooks in the log: which there are by their claims, and their states by their streams."""

from collections.abc import Collection, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Final
from uuid import UUID

from structlog import get_logger

from application.context import TENANT
from application.keys.ports import SealBroken, UnknownMasterKey
from application.webhooks.ports import LivingWebhook
from application.webhooks.snapshots import SNAPSHOT_FORMAT, state_of
from application.webhooks.states import WebhookAt, folded
from domain.webhook.claims import PLACES, SCOPE
from infrastructure.database import Database
from infrastructure.event_store.mapper import RollbookMapper, is_snapshot
from infrastructure.event_store.serializer import Undecodable
from infrastructure.event_store.stored_rows import EVENT, Row, StoredRow
from infrastructure.keys import MasterKeyRing

_SQL: Final = Path(__file__).with_name("sql")
LIVING: Final = _SQL.joinpath("living_webhooks.sql").read_text()
_STATES: Final = _SQL.joinpath("webhooks.sql").read_text().replace("{EVENT}", EVENT)
_STREAM: Final = 1
_NO_FORMAT: Final = ""

log = get_logger(__name__)


class PostgresWebhookDirectory:
    """See `WebhookDirectory`."""

    def __init__(self, database: Database, mapper: RollbookMapper, keys: MasterKeyRing) -> None:
        self._database = database
        self._mapper = mapper
        self._places = {keys.claim(SCOPE, place): place for place in PLACES}

    async def living(self) -> Sequence[LivingWebhook]:
        return [LivingWebhook(stream, version) for _, stream, version in await self._held()]

    async def free_place(self, webhook: UUID) -> str | None:
        held = {self._places[bytes(value)] for value, _, _ in await self._held()}
        free = [place for place in PLACES if place not in held]
        return free[webhook.int % len(free)] if free else None

    async def load(self, ids: Collection[UUID]) -> Mapping[UUID, WebhookAt]:
        states = dict[UUID, WebhookAt]()
        for webhook, rows in (await self._rows(ids, SNAPSHOT_FORMAT)).items():
            try:
                states[webhook] = self._state(rows) or self._folded(
                    (await self._rows([webhook], _NO_FORMAT))[webhook]
                )
            except (Undecodable, SealBroken, UnknownMasterKey) as error:
                log.error("webhook_unreadable", webhook=str(webhook), error=type(error).__name__)
        return states

    def _state(self, rows: Sequence[Row]) -> WebhookAt | None:
        """The state from the snapshot on; None if the snapshot cannot be used."""
        first, *later = rows
        if not is_snapshot(first):
            return self._folded(rows)
        begin = state_of(self._mapper.open_snapshot(first))
        return None if begin is None else self._folded(later, begin)

    def _folded(self, rows: Sequence[Row], begin: WebhookAt | None = None) -> WebhookAt:
        state = folded((self._mapper.recorded(StoredRow.of(row)) for row in rows), begin)
        assert state is not None, "a webhook has events or a snapshot"
        return state

    async def _rows(self, ids: Collection[UUID], form: str) -> Mapping[UUID, Sequence[Row]]:
        """The rows of each webhook that exists, in order."""
        parameters = {"webhooks": list(ids), "form": form, "tenant": TENANT}
        rows = await self._database.rows(_STATES, parameters) if ids else []
        return {webhook: list(each) for webhook, each in groupby(rows, itemgetter(_STREAM))}

    async def _held(self) -> Sequence[tuple[bytes, UUID, int]]:
        parameters = {"places": list(self._places), "scope": SCOPE, "tenant": TENANT}
        return [
            (value, stream, version)
            for value, stream, version in await self._database.rows(LIVING, parameters)
        ]
