"""The log for commands: load a stream, append to a stream."""

import hmac
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, cast
from uuid import UUID

from application.context import TENANT, IdempotencyKey
from application.errors import Unavailable
from application.failures import already_recorded
from application.keys.ports import UnknownMasterKey
from application.log.event_log import (
    WHOLE,
    Appended,
    Draft,
    LoadedStream,
    StoredReceipt,
    StreamRange,
)
from domain.event import Event, Recorded
from infrastructure.database import Database
from infrastructure.event_store.append_requests import (
    AppendRequest,
    AppendResult,
    OtherMasterKey,
    append_request,
)
from infrastructure.event_store.load_statements import (
    LOAD,
    RECEIPT_COLUMNS,
    parameters,
)
from infrastructure.event_store.mapper import NewEvent, RollbookMapper, is_snapshot, sealed
from infrastructure.event_store.serializer import has_personal
from infrastructure.event_store.stored_rows import StoredRow, key_of
from infrastructure.event_store.writer import GroupCommitWriter
from infrastructure.keys import MasterKeyRing

# Each failed try needs a rotation of its own meanwhile.
_TRIES: Final = 3
_MASTER_KEY: Final = "SELECT master_id FROM log"
_HOLDER: Final = "SELECT stream_id FROM claims WHERE value = %s AND scope = %s AND tenant = %s"


class PostgresEventLog:
    """Reads through a pool of connections; writes through the process's single writer."""

    def __init__(
        self,
        database: Database,
        writer: GroupCommitWriter,
        mapper: RollbookMapper,
        keys: MasterKeyRing,
        new_id: Callable[[], UUID],
    ) -> None:
        self._database = database
        self._writer = writer
        self._keys = keys
        self._mapper = mapper
        self._new_id = new_id

    async def load(
        self,
        stream: UUID,
        stream_range: StreamRange = WHOLE,
        *,
        actor: str = "",
        idempotency: IdempotencyKey | None = None,
    ) -> LoadedStream:
        """See `EventLog.load`."""
        rows = await self._database.rows(LOAD, parameters(stream, stream_range, actor, idempotency))
        receipt = self._receipt(rows[0], idempotency) if idempotency is not None else None
        key = key_of(rows[0])
        found = [row[RECEIPT_COLUMNS:] for row in rows if row[RECEIPT_COLUMNS] is not None]
        recorded = sealed if stream_range.last_unopened else self._mapper.recorded
        snapshot = None
        with self._mapper.refusing():
            if found and is_snapshot(found[0]):
                snapshot = self._mapper.open_snapshot(found.pop(0))
            stored = [StoredRow.of(row) for row in found]
            events = [recorded(row) for row in stored]
        size = sum(len(row.state) for row in stored)
        return LoadedStream(events=events, size=size, snapshot=snapshot, key=key, receipt=receipt)

    async def append(self, draft: Draft) -> Appended:
        ids = [self._new_id() for _ in draft.events]
        result = await self._append(draft, ids)
        if result.recorded_at is None and draft.events:
            return await self._already_appended(draft, result)
        return Appended(events=tuple(_recorded_now(draft, ids, result)), position=result.position)

    async def check_master_key(self) -> None:
        """Wrap new keys under the log's current master key from now on.

        Raises `MasterKeyMissing` or `Unavailable`.
        """
        rows = await self._database.rows(_MASTER_KEY)
        with self._mapper.refusing():
            self._keys.use(rows[0][0])

    async def _append(self, draft: Draft, ids: list[UUID]) -> AppendResult:
        """Append it; wrap a new key again if another rotation has changed the master key."""
        for _ in range(_TRIES):
            try:
                return await self._writer.append(self._item(draft, ids))
            except (OtherMasterKey, UnknownMasterKey):
                await self.check_master_key()
        raise Unavailable

    async def holder_of(self, scope: str, value: str) -> UUID | None:
        rows = await self._database.rows(_HOLDER, (self._keys.claim(scope, value), scope, TENANT))
        return cast("UUID", rows[0][0]) if rows else None

    def _item(self, draft: Draft, ids: list[UUID]) -> AppendRequest:
        key = draft.key
        new_key = None
        if key is None and any(has_personal(event) for event in draft.events):
            new_key = key = self._keys.new_key(draft.stream)
        context, first = draft.context, draft.after_version + 1
        version = draft.after_version + len(draft.events)
        events = [
            NewEvent(event, draft.stream, first + index, event_id, key)
            for index, (event_id, event) in enumerate(zip(ids, draft.events, strict=True))
        ]
        snapshot, idempotency = draft.snapshot, context.idempotency
        return append_request(
            kind=draft.kind,
            stream=draft.stream,
            first=first if draft.events or idempotency else None,
            events=[(new.event_id, self._mapper.to_stored_event(new)) for new in events],
            actor=context.actor,
            on_behalf_of=context.on_behalf_of,
            correlation_id=context.correlation_id,
            causation_id=context.causation_id,
            take=[(scope, self._keys.claim(scope, value)) for scope, value in draft.take],
            release=[
                (scope, None if value is None else self._keys.claim(scope, value))
                for scope, value in draft.release
            ],
            key=new_key,
            destroy_key=draft.destroy_key,
            snapshot=snapshot
            and key
            and (
                snapshot.format,
                version,
                self._mapper.seal_snapshot(snapshot, draft.stream, version, key),
            ),
            receipt=idempotency
            and (idempotency.key, self._keys.request(idempotency.fingerprint), draft.status),
        )

    async def _already_appended(self, draft: Draft, result: AppendResult) -> Appended:
        """The result of an earlier attempt whose reply was lost: its events are read again."""
        with already_recorded():
            stream_range = StreamRange(after=draft.after_version, limit=len(draft.events))
            loaded = await self.load(draft.stream, stream_range)
        return Appended(events=tuple(loaded.events), position=result.position)

    def _receipt(self, row: Any, idempotency: IdempotencyKey) -> StoredReceipt | None:
        request, status, stream, version, position = row[:RECEIPT_COLUMNS]
        if request is None:
            return None
        return StoredReceipt(
            matches=hmac.compare_digest(request, self._keys.request(idempotency.fingerprint)),
            status=status,
            stream=stream,
            version=version,
            position=position,
        )


def _recorded_now(draft: Draft, ids: list[UUID], result: AppendResult) -> list[Recorded[Event]]:
    if result.recorded_at is None:
        return []
    count = len(ids)
    context = draft.context
    return [
        Recorded(
            event=event,
            kind=draft.kind,
            stream=draft.stream,
            version=draft.after_version + 1 + index,
            position=result.position - count + 1 + index,
            event_id=event_id,
            actor=context.actor,
            on_behalf_of=context.on_behalf_of,
            correlation_id=context.correlation_id,
            causation_id=context.causation_id,
            recorded_at=result.recorded_at - timedelta(microseconds=count - 1 - index),
        )
        for index, (event_id, event) in enumerate(zip(ids, draft.events, strict=True))
    ]
