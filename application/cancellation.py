"""Cancellations that were lost on their way."""

import asyncio


def heed_cancellation() -> None:
    """Raise a cancellation of this task that was lost, or the process would never end.

    `asyncio.wait_for` before Python 3.12, which clients of servers use, loses one that comes just
    when what it waits for is there. So whatever waits in a loop asks before it waits again.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
