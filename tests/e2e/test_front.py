"""Floods from clients without a token: a whole Rollbook answers the others and keeps its memory."""

import json
import socket
import statistics
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import cycle, islice
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from tests.support.http.wire import WEBSOCKET, frame, request
from tests.support.servers.postgres import scale
from tests.support.servers.prepared_data import prepared
from tests.support.servers.rollbook import RunningRollbook

MAX_GROWTH: Final = 30 * 2**20
CHUNKED: Final = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
UPGRADE: Final = request("GET /v1/stream", WEBSOCKET, token=None).encode()
# What a client sends first, and then without an end.
FLOODS: Final = {
    "pipelined requests": (b"", request("GET /x", token=None).encode() * 500),
    "pipelined commands": (
        b"",
        request("POST /v1/users", "Content-Length: 2\r\n", "{}", token=None).encode() * 500,
    ),
    "empty pings": (UPGRADE, frame(9) * 5000),
    "empty fragments": (UPGRADE + frame(1, fin=False), frame(0, fin=False) * 5000),
    "endless trailers": (
        request("POST /v1/users", CHUNKED, token=None).encode() + b"0\r\n",
        b"X-Endless: yes\r\n" * 5000,
    ),
    "endless extensions": (
        request("POST /v1/users", CHUNKED, token=None).encode() + b"1;",
        b"x" * 65_536,
    ),
    "endless heads": (b"GET / HTTP/1.1\r\nX: ", b"x" * 65_536),
    "endless headers": (b"GET / HTTP/1.1\r\n", b"X: y\r\n" * 5000),
    "bodies without an end": (
        request("POST /v1/users", "Content-Length: 99999999999\r\n", token=None).encode(),
        b"x" * 65_536,
    ),
    "tiny chunks": (
        request("POST /v1/users", CHUNKED, token=None).encode(),
        b"1\r\nx\r\n" * 10_000,
    ),
}
SLOW: Final = {
    "slow bodies": request("POST /v1/users", "Content-Length: 9999\r\n", token=None).encode(),
    "slow heads": b"GET / HTTP/1.1\r\nX: ",
    "slow frames": UPGRADE + b"\x81",
}


@pytest.fixture
def rollbook(tmp_path: Path) -> Iterator[RunningRollbook]:
    with RunningRollbook(prepared(tmp_path / "data")) as rollbook:
        yield rollbook


def memory_of(process: int) -> int:
    """Resident bytes."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * 4096


@contextmanager
def connection(rollbook: RunningRollbook) -> Generator[socket.socket]:
    place = urlsplit(rollbook.url)
    assert place.hostname is not None
    with socket.create_connection((place.hostname, place.port or 80), timeout=15) as client:
        yield client


class Caller:
    """Registers users on one connection, one after the other."""

    def __init__(self, rollbook: RunningRollbook, client: socket.socket) -> None:
        self._token = rollbook.token
        self._client = client

    def register(self) -> float:
        """The seconds until the answer."""
        body = json.dumps({"name": "Åsa", "email": f"{uuid4().hex}@example.com"})
        sized = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        began = time.monotonic()
        self._client.sendall(request("POST /v1/users", sized, body, self._token).encode())
        answer = b""
        while not answer.endswith(b"}"):
            answer += self._client.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 201"), answer
        return time.monotonic() - began

    def times(self, seconds: float) -> list[float]:
        until = time.monotonic() + seconds
        times: list[float] = []
        while time.monotonic() < until:
            times.append(self.register())
            time.sleep(0.002)
        return times


def flood(rollbook: RunningRollbook, first: bytes, then: bytes, stop: threading.Event) -> None:
    """Send, read nothing, and connect again after each refusal."""
    while not stop.is_set():
        with suppress(OSError), connection(rollbook) as client:
            client.settimeout(0.2)
            client.sendall(first)
            while not stop.is_set():
                with suppress(TimeoutError):
                    client.send(then)
        stop.wait(0.05)


def trickle(rollbook: RunningRollbook, first: bytes, stop: threading.Event) -> None:
    while not stop.is_set():
        with suppress(OSError), connection(rollbook) as client:
            client.sendall(first)
            while not stop.wait(0.05):
                client.sendall(b"x")


@contextmanager
def attacked(rollbook: RunningRollbook, each: int = 2) -> Generator[None]:
    """As many connections of each kind attack."""
    stop = threading.Event()
    threads = [
        *(
            threading.Thread(target=flood, args=(rollbook, *sent, stop))
            for sent in FLOODS.values()
            for _ in range(each)
        ),
        *(
            threading.Thread(target=trickle, args=(rollbook, first, stop))
            for first in SLOW.values()
            for _ in range(each)
        ),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]


@pytest.mark.alone
def test_floods_without_a_token_change_little_for_others(rollbook: RunningRollbook) -> None:
    process = rollbook.children()["application"]
    seconds = 5 if scale() >= 10 else 1.5
    rounds = 5 if scale() >= 10 else 1
    ratios: list[float] = []
    with connection(rollbook) as client:
        caller = Caller(rollbook, client)
        for _ in range(rounds):
            alone = p99(caller.times(seconds))
            before = memory_of(process)
            with attacked(rollbook):
                times = caller.times(seconds)
                grown = memory_of(process) - before
            assert grown < MAX_GROWTH
            assert len(times) > 10 * seconds
            ratios.append(p99(times) / alone)
            print(f"p99 {alone * 1000:.1f} alone, {p99(times) * 1000:.1f} ms; {grown >> 20} MB more")
    assert rollbook.children()["application"] == process
    if scale() >= 10:
        assert statistics.median(ratios) <= 3, ratios


def test_pipelined_requests_that_nobody_reads_take_no_memory(rollbook: RunningRollbook) -> None:
    process = rollbook.children()["application"]
    commands = request("POST /v1/users", "Content-Length: 2\r\n", "{}").encode()
    for one in (b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n", commands):
        before = memory_of(process)
        with connection(rollbook) as client:
            client.settimeout(1)
            data, sent = one * 2000, 0
            with suppress(OSError):
                while sent < 10_000_000:
                    sent += client.send(data)
            assert memory_of(process) - before < 10 * 2**20
            assert rollbook.status("/v1/me") == 200


ODD: Final = (
    request("GET /v1/stream", WEBSOCKET + "Content-Length: 1\r\n"),
    request("GET /v1/stream", WEBSOCKET + "Transfer-Encoding: chunked\r\n"),
    request("GET /v1/stream", WEBSOCKET + "X-Many: 1\r\n" * 150),
    request("GET /v1/stream", WEBSOCKET + "X-Many: 1\r\n" * 300),
    request("GET /v1/stream", WEBSOCKET + "X-Long: " + "x" * 9000 + "\r\n"),
    request("GET /v1/stream?" + "x" * 9000, WEBSOCKET),
    request("GET /v1/stream", WEBSOCKET.replace("dGhl", "")),
    request("GET /v1/stream", WEBSOCKET.replace(": 13", ": 7")),
    request("GET /v1/stream", WEBSOCKET + "Connection: close\r\n"),
    request("GET /v1/stream", WEBSOCKET.replace("websocket", "h2c") + "Content-Length: 1\r\n"),
    request("GET /v1/stream", WEBSOCKET.replace("websocket", "websocket, h2c")),
    request("POST /v1/stream", WEBSOCKET + "Content-Length: 1\r\n"),
    request("CONNECT /v1/stream", WEBSOCKET),
    request("GET /v1/stream", WEBSOCKET).replace("HTTP/1.1", "HTTP/1.0"),
    request("GET /v1/stream", WEBSOCKET)[:-2],
    request("GET /v1/users", WEBSOCKET),
    "GET /v1/stream HTTP/1.1\r\n" + WEBSOCKET + "\r\n",
)


def test_odd_requests_for_a_websocket_are_answered_and_closed(rollbook: RunningRollbook) -> None:
    with ExitStack() as stack:
        clients: list[socket.socket] = []
        for odd in islice(cycle(ODD), 300):
            clients.append(stack.enter_context(connection(rollbook)))
            clients[-1].sendall(odd.encode())
        until = time.monotonic() + 10
        for client, odd in zip(clients, cycle(ODD), strict=False):
            answer = all_of(client, lambda: until - time.monotonic())
            assert answer.startswith(b"HTTP/1.1 "), odd


def all_of(client: socket.socket, seconds: Callable[[], float]) -> bytes:
    """Everything until the server closes the connection, within some seconds."""
    data = b""
    while True:
        client.settimeout(max(0.01, seconds()))
        piece = client.recv(65_536)
        if not piece:
            return data
        data += piece


def test_silent_websockets_lock_out_nobody(rollbook: RunningRollbook) -> None:
    with ExitStack() as stack:
        for _ in range(500):
            stack.enter_context(connection(rollbook)).sendall(UPGRADE)
        signed = request("GET /v1/stream", WEBSOCKET, token=rollbook.token).encode()
        first = frame(1, json.dumps({"token": rollbook.token}).encode())
        for sent in ((signed, b""), (UPGRADE, first)):
            client = stack.enter_context(connection(rollbook))
            client.sendall(sent[0])
            assert client.recv(65_536).startswith(b"HTTP/1.1 101")
            client.sendall(sent[1])
            assert b'"kind":"ready"' in client.recv(65_536)
