"""Opens the event store of a database: keys, log and feed, opened and drained in order."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Final

from msgspec import Struct
from structlog import get_logger
from uuid_utils.compat import uuid7

from application.access.records import AccessRecords
from application.keys.ports import UnknownMasterKey
from application.log.high_water import CombinedMarks, HighWaterMarks
from infrastructure.database import POOL_SIZE, Database
from infrastructure.event_store.audit import PostgresAuditLog
from infrastructure.event_store.feed import PostgresEventFeed
from infrastructure.event_store.identity import LogIdentity
from infrastructure.event_store.log import PostgresEventLog
from infrastructure.event_store.mapper import RollbookMapper
from infrastructure.event_store.opening import open_log
from infrastructure.event_store.tokens import PostgresTokenDirectory
from infrastructure.event_store.watch import HighWater
from infrastructure.event_store.webhooks import PostgresWebhookDirectory
from infrastructure.event_store.writer import GroupCommitWriter
from infrastructure.event_store.writer_session import WriterSession
from infrastructure.keys import MasterKeyRing, MasterKeys
from infrastructure.keys.store import is_rare, master_ids
from infrastructure.postgres import connect

_INDEX_KEY_BYTES: Final = 32
_POLL_SECONDS: Final = 1.0
_NO_MARKS: Final = CombinedMarks()

log = get_logger(__name__)


class EventStore(Struct, frozen=True, kw_only=True):
    """The open event store of a process."""

    log: PostgresEventLog
    feed: PostgresEventFeed
    audit: PostgresAuditLog
    webhooks: PostgresWebhookDirectory
    tokens: PostgresTokenDirectory
    keys: MasterKeyRing
    mapper: RollbookMapper
    identity: LogIdentity
    high_water: HighWater
    database: Database
    writer: GroupCommitWriter


class SealedLog(Struct, frozen=True, kw_only=True):
    """The log as it is stored, for a process without keys."""

    identity: LogIdentity
    high_water: HighWater
    database: Database


@asynccontextmanager
async def open_event_store(
    database_url: str,
    masters: MasterKeys,
    *,
    connections: int = POOL_SIZE,
    marks: HighWaterMarks = _NO_MARKS,
) -> AsyncGenerator[EventStore]:
    """The event store of a migrated database; leaving the context writes all waiting appends.

    Its `database` is the one pool of the process, with this many connections. `marks` keep how
    far the log has come.

    Raises `UnknownMasterKey` or `SealBroken` if the master keys are not all that this log needs.
    """
    identity = await _identify(database_url, masters, marks)
    keys = MasterKeyRing(masters, masters.unwrap(identity.index_key, identity.id))
    with suppress(UnknownMasterKey):  # readiness and the commands that need it say so
        keys.use(identity.master_id)
    async with Database.open(database_url, size=connections) as database:
        mapper = RollbookMapper(keys)
        high_water = HighWater(identity, marks)
        writer = GroupCommitWriter(WriterSession(database_url, high_water=high_water))
        writer.start()
        raising = asyncio.create_task(high_water.run(), name="high-water")
        try:
            yield EventStore(
                log=PostgresEventLog(database, writer, mapper, keys, uuid7),
                audit=PostgresAuditLog(database, mapper),
                webhooks=PostgresWebhookDirectory(database, mapper, keys),
                tokens=PostgresTokenDirectory(database, mapper, keys),
                feed=PostgresEventFeed(database, mapper, identity.breaks),
                keys=keys,
                mapper=mapper,
                identity=identity,
                high_water=high_water,
                database=database,
                writer=writer,
            )
        finally:
            try:
                await writer.close()
            finally:
                raising.cancel()
            await high_water.write()


def access_records(store: EventStore) -> AccessRecords:
    """What records that personal data was read or exported."""
    return AccessRecords(store.log, store.keys.access_stream)


@asynccontextmanager
async def open_sealed_log(
    database_url: str, *, connections: int = POOL_SIZE, marks: HighWaterMarks = _NO_MARKS
) -> AsyncGenerator[SealedLog]:
    """The log of a migrated database; waits until a process with keys has created it."""
    connection = await connect(database_url, "rollbook start")
    try:
        # Another process creates it, so there is no event to wait for.
        while (identity := await open_log(connection, marks)) is None:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)
    finally:
        await connection.close()
    async with Database.open(database_url, size=connections) as database:
        high_water = HighWater(identity, marks)
        yield SealedLog(identity=identity, high_water=high_water, database=database)


async def _identify(database_url: str, masters: MasterKeys, marks: HighWaterMarks) -> LogIdentity:
    log_id = uuid7()
    index_key = masters.wrap(os.urandom(_INDEX_KEY_BYTES), log_id)
    connection = await connect(database_url, "rollbook start")
    try:
        identity = await open_log(connection, marks, (log_id, index_key))
        assert identity is not None, "it is made if there is none"
        for master_id in sorted(await master_ids(connection)):
            if master_id in masters.ids:
                continue
            if not await is_rare(connection, master_id):
                raise UnknownMasterKey(master_id)
            log.error("master_key_missing", id=master_id)
        return identity
    finally:
        await connection.close()
