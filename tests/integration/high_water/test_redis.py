"""A Redis that is away or frozen is soon reported, and may lose the marks."""

import signal
from collections.abc import Iterator
from time import monotonic

import pytest
from uuid_utils.compat import uuid7

from application.log.high_water import Epoch, MarksUnavailable
from infrastructure.high_water.redis import RedisHighWaterMarks
from tests.support.servers.redis import PrivateRedis, private_redis

EPOCH = Epoch(1, 5)
LOG = uuid7()


@pytest.fixture
def redis() -> Iterator[PrivateRedis]:
    with private_redis() as server:
        yield server


async def test_without_a_reply_the_marks_are_unavailable_until_redis_is_back(
    redis: PrivateRedis,
) -> None:
    async with RedisHighWaterMarks.open(redis.url) as marks:
        await marks.raise_to(LOG, {EPOCH: 3})
        redis.signal(signal.SIGSTOP)
        began = monotonic()
        with pytest.raises(MarksUnavailable):
            await marks.read(LOG)
        with pytest.raises(MarksUnavailable):
            await marks.raise_to(LOG, {EPOCH: 4})
        assert monotonic() - began < 3
        redis.signal(signal.SIGCONT)
        await marks.raise_to(LOG, {EPOCH: 5})
        redis.stop()
        with pytest.raises(MarksUnavailable):
            await marks.read(LOG)
        redis.start()
        assert await marks.read(LOG) == {}
        await marks.raise_to(LOG, {EPOCH: 6})
        assert await marks.read(LOG) == {EPOCH: 6}
