"""The port to snapshots: shortcuts through long streams, kept aside and made whenever they lack."""

from collections.abc import Sequence
from typing import Protocol

from application.event_log import StreamKey, StreamSnapshot


class Snapshots(Protocol):
    """Keeps what it is offered as soon as it can, or drops it: nothing depends on it."""

    def offer(self, snapshots: Sequence[StreamSnapshot], key: StreamKey) -> None:
        """Have these of one stream kept, sealed with its key; never waits and never fails."""
        ...
