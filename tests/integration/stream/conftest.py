"""A directory in memory, and the URL of its stream."""

from collections.abc import AsyncGenerator

import pytest

from tests.support.http.streaming import StreamingDirectory, served


@pytest.fixture
def directory() -> StreamingDirectory:
    return StreamingDirectory(heartbeat_seconds=0.2, first_message_seconds=0.3, send_seconds=0.5)


@pytest.fixture
async def url(directory: StreamingDirectory) -> AsyncGenerator[str]:
    async with served(directory.app) as url:
        yield url
