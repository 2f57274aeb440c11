"""How often a process looks for garbage that refers to itself."""

import gc
from typing import Final

# A page of the log makes some thousands of objects, none of which refers to itself.
_YOUNG_OBJECTS: Final = 50_000


def disable_gc() -> None:
    """Look for none until `freeze_and_tune_gc`: of what a process loads nearly all stays."""
    gc.disable()


def freeze_and_tune_gc() -> None:
    """Look at what is there for the last time, and at what is to come in larger lots.

    What was made so far stays to the end: a collection that looks at all of it, a tenth of a second
    each time, would find nothing. Looking every 700 objects, as Python does by itself, takes a
    sixth of a rebuild.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)
    gc.enable()
