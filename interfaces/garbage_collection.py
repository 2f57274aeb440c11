"""Tunes when a process collects reference cycles."""

import gc
from typing import Final

# A page of the log makes thousands of objects, and none of them is part of a cycle.
_THRESHOLD: Final = 50_000


def disable_gc() -> None:
    """Switch it off until `freeze_and_tune_gc`: nearly all objects of a start stay."""
    gc.disable()


def freeze_and_tune_gc() -> None:
    """Collect once, exempt all objects that exist now, and collect less often from now on.

    Objects made so far stay until the end: a full collection takes a tenth of a second, and would
    find no garbage among them. Python's default, a collection every 700 objects, takes a sixth of
    the time of a rebuild.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_THRESHOLD)
    gc.enable()
