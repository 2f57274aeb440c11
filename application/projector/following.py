"""Follows the generations that are to be kept up to date, and drops the others when they expire."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any, Final, NoReturn, Protocol

from structlog import get_logger

from application.doorbell import GENERATIONS, Doorbell
from application.projector.view_store import Slot
from application.retry import BackOff

# The longest delay after a missed wake-up.
_POLL_SECONDS: Final = 1.0
_DROP_SECONDS: Final = 20.0

log = get_logger(__name__)


class FollowedSlots(Protocol):
    """The slots to keep up to date."""

    async def followed(self) -> Collection[Slot[Any]]:
        """The slots of all backfilled generations, without paused projections.

        Without those of a later release, too: this process would not fill all of their columns.

        Raises `Unavailable`.
        """
        ...


async def run_followers(
    name: str,
    slots: FollowedSlots,
    doorbell: Doorbell,
    follow: Callable[[Slot[Any]], Coroutine[Any, Any, None]],
) -> NoReturn:
    """Run `follow` for each followed slot, and cancel it when the slot is no longer followed.

    Cancel this function to stop all.
    """
    back_off = BackOff(name)
    running: dict[Slot[Any], asyncio.Task[None]] = {}
    async with asyncio.TaskGroup() as group, doorbell.listen(GENERATIONS) as bell:
        while True:
            try:
                wanted = await slots.followed()
            except Exception as error:
                # The slots that were followed before are still followed.
                await back_off.wait(error)
                continue
            back_off.reset()
            for slot in running.keys() - set(wanted):
                log.info("slot_let_go", follower=name, slot=str(slot))
                running.pop(slot).cancel()
            for slot in set(wanted) - running.keys():
                log.info("slot_followed", follower=name, slot=str(slot))
                running[slot] = group.create_task(follow(slot))
            await bell.wait(_POLL_SECONDS)


class ExpiredGenerations(Protocol):
    async def drop_expired(self) -> Sequence[str]:
        """Drop the expired generations and return their names. Raises `Unavailable`."""
        ...


async def run_expiry(expired: ExpiredGenerations) -> NoReturn:
    """Drop generations when they expire; cancel it to stop.

    Any number of processes may run it.
    """
    back_off = BackOff("expired generations")
    while True:
        try:
            for dropped in await expired.drop_expired():
                log.info("generation_dropped", generation=dropped)
        except Exception as error:
            await back_off.wait(error)
        else:
            back_off.reset()
            await asyncio.sleep(_DROP_SECONDS)
