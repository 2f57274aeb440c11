"""Retries streams that are parked because an event could not be read, once that has changed."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, NoReturn

from structlog import get_logger

from application.failures import describe
from application.log.by_stream import EventsByStream
from application.projector.parked import ParkedStreams, UnreadableStreams
from application.projector.retry import retry_in_slot
from application.projector.view_store import Slot
from application.retry import BackOff, raise_if_cancelled

_PAUSE_SECONDS: Final = 60.0
# One round retries at most this many streams, so that it never holds up the projector for long.
_STREAMS: Final = 100

log = get_logger(__name__)

Retry = Callable[[Slot[Any]], Coroutine[Any, Any, NoReturn]]
"""Runs while this process leads a slot."""


async def retry_unreadable(
    slot: Slot[Any],
    unreadable_streams: UnreadableStreams,
    parked_streams: ParkedStreams,
    events_by_stream: EventsByStream,
) -> NoReturn:
    """Retry for ever; cancel it to stop.

    A process that begins to lead may know a key, a type or a schema version that its predecessor
    did not know: it retries at once. Later rounds retry the streams whose pause is over, because
    an operator may have repaired a key or a stored event.
    """
    back_off, at_once = BackOff(f"retry {slot}"), True
    while True:
        try:
            streams = await unreadable_streams.unreadable(slot, _STREAMS, at_once=at_once)
        except Exception as error:
            await back_off.wait(error)
            continue
        back_off.reset()
        retried = 0
        for stream in streams:
            raise_if_cancelled()
            try:
                result = await retry_in_slot(slot, stream, parked_streams, events_by_stream)
                if result.parked is not None:
                    await unreadable_streams.postpone(slot, stream)
                    continue
            except Exception as error:
                # It stays parked, and its turn comes again; the others go on.
                log.warning("retry_failed", slot=str(slot), error=describe(error))
                continue
            retried += 1
            log.info("parked_stream_retried", slot=str(slot), stream=str(stream))
        # Where a whole round succeeded, the reason has probably ended for all streams.
        at_once = retried == _STREAMS
        if not at_once:
            await asyncio.sleep(_PAUSE_SECONDS)


@asynccontextmanager
async def retrying(slot: Slot[Any], retry: Retry) -> AsyncGenerator[None]:
    """Runs `retry` inside this context."""
    task = asyncio.create_task(retry(slot), name=f"retry {slot}")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
