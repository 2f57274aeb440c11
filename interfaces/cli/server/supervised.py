"""What `rollbook up` gives to a process that it supervises."""

import socket
from pathlib import Path

from msgspec import Struct


class Supervised(Struct, frozen=True, kw_only=True):
    """`parent_socket` is closed when the supervisor ends.

    `restarted`: the process ran before, on a database with tables.
    """

    parent_socket: socket.socket
    high_water_file: Path | None
    restarted: bool
