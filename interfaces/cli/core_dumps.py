"""Core dumps: a process that holds keys and personal data in its memory leaves none."""

import ctypes
import resource
import sys
from typing import Final

_PR_SET_DUMPABLE: Final = 4  # <linux/prctl.h>


def disable_core_dumps() -> None:
    """No core dump of this process, and no other process of its user may read its memory.

    The limit alone is not enough on Linux: a program that `core_pattern` names gets the dump in
    spite of it. The limit also holds for child processes.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
