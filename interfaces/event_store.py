"""Puts the event store together: keys, log and feed of one database, opened and drained in order."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from msgspec import Struct
from uuid_utils.compat import uuid7

from application.keys import KeyRing
from infrastructure.event_store.feed import PostgresEventFeed
from infrastructure.event_store.identity import LogIdentity, open_log
from infrastructure.event_store.log import PostgresEventLog
from infrastructure.event_store.reader import LogReader
from infrastructure.event_store.session import WriterSession
from infrastructure.event_store.writer import GroupCommitWriter
from infrastructure.keys import MasterKeyRing, MasterKeys
from infrastructure.postgres import connect

_INDEX_KEY_BYTES: Final = 32


class EventStore(Struct, frozen=True, kw_only=True):
    """The open event store of a process."""

    log: PostgresEventLog
    feed: PostgresEventFeed
    keys: KeyRing
    identity: LogIdentity
    reader: LogReader
    writer: GroupCommitWriter


@asynccontextmanager
async def open_event_store(database_url: str, masters: MasterKeys) -> AsyncGenerator[EventStore]:
    """The event store of a migrated database; leaving the context writes what still waits.

    Raises `UnknownMasterKey` or `SealBroken` where the master keys are not this log's.
    """
    identity = await _identify(database_url, masters)
    keys = MasterKeyRing(masters, masters.unwrap(identity.index_key, identity.id))
    async with LogReader.open(database_url) as reader:
        writer = GroupCommitWriter(WriterSession(database_url))
        writer.start()
        try:
            yield EventStore(
                log=PostgresEventLog(reader, writer, keys, uuid7),
                feed=PostgresEventFeed(reader, keys, identity.breaks),
                keys=keys,
                identity=identity,
                reader=reader,
                writer=writer,
            )
        finally:
            await writer.close()


async def _identify(database_url: str, masters: MasterKeys) -> LogIdentity:
    log_id = uuid7()
    index_key = masters.wrap(os.urandom(_INDEX_KEY_BYTES), log_id)
    connection = await connect(database_url, "rollbook start")
    try:
        return await open_log(connection, log_id, index_key)
    finally:
        await connection.close()
