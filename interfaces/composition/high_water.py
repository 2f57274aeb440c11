"""Opens the places outside the database that keep high-water marks."""

from contextlib import AsyncExitStack
from pathlib import Path

from application.log.high_water import CombinedMarks, HighWaterMarks
from infrastructure.high_water.file import FileHighWaterMarks
from infrastructure.high_water.redis import RedisHighWaterMarks


async def open_marks(
    stack: AsyncExitStack, redis_url: str | None, file: Path | None
) -> CombinedMarks:
    """The marks in Redis and in a file, as far as they are set."""
    places: list[HighWaterMarks] = []
    if redis_url is not None:
        places.append(await stack.enter_async_context(RedisHighWaterMarks.open(redis_url)))
    if file is not None:
        places.append(FileHighWaterMarks(file))
    return CombinedMarks(*places)
