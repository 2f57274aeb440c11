"""Searching the log: what matches, how far one search goes, and where the next one goes on."""

from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from infrastructure.event_store.memory import InMemoryEventLog
from tests.drafts import change, registration


@pytest.fixture
def log() -> InMemoryEventLog:
    return InMemoryEventLog(uuid7)


async def record_user(log: InMemoryEventLog) -> UUID:
    """A user registered, then changed."""
    draft = registration()
    await log.append(draft)
    await log.append(change(draft.stream, 1))
    return draft.stream
