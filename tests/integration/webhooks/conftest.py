"""Fixtures of the tests of webhooks."""

from collections.abc import AsyncIterator

import pytest

from application.webhooks import delivering, following, parked_tries
from tests.support.webhooks.delivering import WebhookSide


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done once a second is done several times, so that the tests wait less."""
    monkeypatch.setattr(delivering, "_POLL_SECONDS", 0.1)
    monkeypatch.setattr(delivering, "SAVE_SECONDS", 0.2)
    monkeypatch.setattr(following, "_POLL_SECONDS", 0.3)
    monkeypatch.setattr(parked_tries, "_POLL_SECONDS", 0.1)
    monkeypatch.setattr(parked_tries, "_REPLAY_SECONDS", 0.3)


@pytest.fixture
async def side(database_url: str) -> AsyncIterator[WebhookSide]:
    """Commands and deliveries over a migrated database."""
    async with WebhookSide.open(database_url) as side:
        yield side
