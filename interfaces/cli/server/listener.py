"""The listening socket, opened before anything else starts and kept while roles restart."""

import errno
import socket
from typing import Final

from interfaces.cli.errors import CommandFailed

BACKLOG: Final = 2048
UNREAD_MILLISECONDS: Final = 30_000
WILDCARDS: Final = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 (compared, not bound)


class CannotListen(CommandFailed):
    """The address is not available."""

    def __init__(self, host: str, port: int, error: OSError) -> None:
        self.host = host
        self.port = port
        reason = error.strerror or "unknown address"
        if error.errno == errno.EADDRINUSE:
            reason = "another program listens there; choose another --port"
        super().__init__(f"cannot listen on {host} port {port}: {reason}")


def open_listener(host: str, port: int) -> socket.socket:
    """Listen on an address; port 0 takes a free one. Raises `CannotListen`."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CannotListen(host, port, error) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # Connections inherit it; without it, a client that never reads keeps its connection.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MILLISECONDS)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise CannotListen(host, port, error) from None
    return listener


def web_address(host: str, listener: socket.socket) -> str:
    """The address for a browser on this machine."""
    named = WILDCARDS.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{named}:{listener.getsockname()[1]}"
