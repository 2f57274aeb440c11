"""Floods from clients without a token: a whole Rollbook answers the others and keeps its memory."""

import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import cycle, islice
from pathlib import Path
from typing import Final
from uuid import uuid4

import pytest

from tests.support.http.wire import WEBSOCKET, frame, request
from tests.support.processes.flood import KINDS, UPGRADE
from tests.support.servers.postgres import scale
from tests.support.servers.prepared_data import prepared
from tests.support.servers.rollbook import RunningRollbook, rollbook_environment

MAX_GROWTH: Final = 30 * 2**20
WORST: Final = (
    "pipelined-requests",
    "empty-pings",
    "empty-fragments",
    "endless-trailers",
    "slow-bodies",
)


@pytest.fixture(scope="module")
def rollbook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRollbook]:
    data = prepared(tmp_path_factory.mktemp("front") / "data")
    # Without limits of requests: else almost no flood would get beyond its first requests.
    with RunningRollbook(data, ROLLBOOK_RATE_LIMIT="0") as rollbook:
        yield rollbook


def memory_of(process: int) -> int:
    """Resident bytes."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * 4096


def port_of(rollbook: RunningRollbook) -> str:
    return rollbook.url.rpartition(":")[2]


def connection(rollbook: RunningRollbook) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(port_of(rollbook))), timeout=15)


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


@contextmanager
def attacked(rollbook: RunningRollbook, *kinds: str) -> Generator[None]:
    """Two connections of each kind attack."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.processes.flood", port_of(rollbook), "2", *kinds],
        env=rollbook_environment(),
        stdin=subprocess.PIPE,
    )
    time.sleep(0.5)
    try:
        yield
    finally:
        process.communicate(timeout=10)


def p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]


@pytest.mark.long
@pytest.mark.alone
def test_floods_without_a_token_change_little_for_others(rollbook: RunningRollbook) -> None:
    """All kinds at once for the memory, the worst kinds at once for the time of another caller."""
    process = rollbook.children()["application"]
    is_long = scale() >= 10
    with connection(rollbook) as client:
        caller = Caller(rollbook, client)
        caller.times(0.5)
        before = memory_of(process)
        with attacked(rollbook, *KINDS):
            assert len(caller.times(5 if is_long else 2)) > 20
            assert memory_of(process) - before < MAX_GROWTH
        ratios: list[float] = []
        for _ in range(5 if is_long else 1):
            alone = p99(caller.times(3 if is_long else 0.5))
            with attacked(rollbook, *WORST):
                ratios.append(p99(caller.times(5 if is_long else 1)) / alone)
    assert rollbook.children()["application"] == process
    if is_long:
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


@pytest.mark.long
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
        for upgrade, message in ((signed, b""), (UPGRADE, first)):
            client = stack.enter_context(connection(rollbook))
            client.sendall(upgrade)
            answer = client.recv(65_536)
            assert answer.startswith(b"HTTP/1.1 101")
            client.sendall(message)
            while b'"kind":"ready"' not in answer:
                answer += client.recv(65_536)
