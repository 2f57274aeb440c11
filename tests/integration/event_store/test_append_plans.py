"""The append function uses indexes even if the planner's statistics are wrong."""

import asyncio

from uuid_utils.compat import uuid7

from infrastructure.keys import MasterKeys
from interfaces.composition.event_store import open_event_store
from tests.support.log.drafts import change, registration
from tests.support.views.directory import execute

# Postgres counts the work of a session when the session has ended.
ROWS_READ = """
SELECT indexrelname, idx_tup_read FROM pg_stat_user_indexes
WHERE relname IN ('stored_events', 'claims', 'receipts', 'subject_keys')"""
ROWS_SCANNED = (
    "SELECT relname FROM pg_stat_user_tables WHERE seq_tup_read > 0 AND relname = 'claims'"
)
COMMANDS = 200


async def test_tables_that_were_analysed_while_empty_are_not_scanned(
    database_url: str, master_keys: str
) -> None:
    await execute(database_url, "VACUUM (ANALYZE) stored_events, claims, receipts, subject_keys")
    async with open_event_store(database_url, MasterKeys.parse(master_keys)) as store:
        for _ in range(3):
            drafts = [
                registration(email=f"{uuid7()}@example.com", key=str(uuid7()))
                for _ in range(COMMANDS)
            ]
            await asyncio.gather(*map(store.log.append, drafts))
            moves = [
                change(
                    draft.stream,
                    1,
                    key=str(uuid7()),
                    take=(("email", f"{uuid7()}@example.com"),),
                    release=draft.take,
                )
                for draft in drafts
            ]
            await asyncio.gather(*map(store.log.append, moves))
    read = dict(await execute(database_url, ROWS_READ))
    # An index look-up reads one row or none; that of a version reads the last one of its stream.
    assert max(read.values()) < 3 * COMMANDS * 4, read
    assert await execute(database_url, ROWS_SCANNED) == []
