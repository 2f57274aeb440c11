"""Clients without a token that send without end and read nothing, until standard input ends.

Run as `python -m tests.support.processes.flood PORT CONNECTIONS KIND…`, with the names of `KINDS`.
"""

import socket
import sys
import threading
from contextlib import suppress
from typing import Final

from msgspec import Struct

from tests.support.http.wire import WEBSOCKET, frame, request

CHUNKED: Final = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
UPGRADE: Final = request("GET /v1/stream", WEBSOCKET, token=None).encode()


class Kind(Struct, frozen=True):
    """What a connection sends first, and then again and again; with a pause if it is slow."""

    first: bytes
    then: bytes
    pause_seconds: float = 0


def _command(headers: str, body: str = "") -> bytes:
    return request("POST /v1/users", headers, body, token=None).encode()


KINDS: Final = {
    "pipelined-requests": Kind(b"", request("GET /x", token=None).encode() * 500),
    "empty-pings": Kind(UPGRADE, frame(9) * 5000),
    "empty-fragments": Kind(UPGRADE + frame(1, fin=False), frame(0, fin=False) * 5000),
    "endless-trailers": Kind(_command(CHUNKED) + b"0\r\n", b"X-Endless: yes\r\n" * 5000),
    "slow-bodies": Kind(_command("Content-Length: 9999\r\n"), b"x", 0.05),
    "pipelined-commands": Kind(b"", _command("Content-Length: 2\r\n", "{}") * 500),
    "endless-extensions": Kind(_command(CHUNKED) + b"1;", b"x" * 65_536),
    "endless-heads": Kind(b"GET / HTTP/1.1\r\nX: ", b"x" * 65_536),
    "endless-headers": Kind(b"GET / HTTP/1.1\r\n", b"X: y\r\n" * 5000),
    "endless-bodies": Kind(_command("Content-Length: 99999999999\r\n"), b"x" * 65_536),
    "tiny-chunks": Kind(_command(CHUNKED), b"1\r\nx\r\n" * 10_000),
    "slow-heads": Kind(b"GET / HTTP/1.1\r\nX: ", b"x", 0.05),
    "slow-frames": Kind(UPGRADE + b"\x81", b"\xff", 0.05),
}


def flood(port: int, kind: Kind, stop: threading.Event) -> None:
    """Connect again after each refusal."""
    while not stop.is_set():
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.2) as one:
            one.sendall(kind.first)
            while not stop.wait(kind.pause_seconds):
                with suppress(TimeoutError):
                    one.send(kind.then)
        stop.wait(0.05)


if __name__ == "__main__":
    stop = threading.Event()
    port, connections, *names = sys.argv[1:]
    threads = [
        threading.Thread(target=flood, args=(int(port), KINDS[name], stop))
        for name in names
        for _ in range(int(connections))
    ]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()
