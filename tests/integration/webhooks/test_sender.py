"""Requests are signed, and no answer of an endpoint costs more than its time and 64 KiB."""

import asyncio
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from application.webhooks.delivery_ports import Answer, SignedBody
from infrastructure.webhooks.network import MAX_ANSWER_BYTES, AnswerTooLarge, CheckedNetwork
from infrastructure.webhooks.resolver import SystemResolver
from infrastructure.webhooks.sender import HttpSender
from tests.support.webhooks.receiver import Received, Receiver, accept

SECRETS = ["whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "whsec_b2xkc2VjcmV0b2xkc2VjcmV0b2xkc2Vj"]
CONTENT = SignedBody(message_id="an-id", body='{"name":"Zoë"}'.encode(), secrets=SECRETS)

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]


async def sent_to(serve: Serve, *, seconds: float = 0.6) -> Answer:
    """The answer to one request to a server that does what a test says."""
    tasks = set[asyncio.Task[None]]()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            await serve(reader, writer)  # type: ignore[misc]
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(run, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        sender = HttpSender(allow_unsafe=True, seconds=seconds)
        async with sender.open(f"http://127.0.0.1:{port}/") as endpoint:
            return await endpoint.send(CONTENT)
    finally:
        server.close()
        for task in tasks:
            task.cancel()


async def widest_gap(work: asyncio.Task[Answer]) -> float:
    """The longest time in seconds for which the event loop ran nothing else."""
    loop, widest = asyncio.get_running_loop(), 0.0
    while not work.done():
        began = loop.time()
        await asyncio.sleep(0)
        widest = max(widest, loop.time() - began)
    return widest


async def test_each_secret_signs() -> None:
    async with Receiver.open() as receiver:
        async with HttpSender(allow_unsafe=True).open(receiver.url) as endpoint:
            answer = await endpoint.send(CONTENT)
    assert answer.is_success
    request = receiver.received[0]
    for secret in SECRETS:
        assert Webhook(secret).verify(request.body, dict(request.headers)) == {"name": "Zoë"}
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_YW5vdGhlcg==").verify(request.body, dict(request.headers))
    assert request.headers["webhook-id"] == "an-id"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"
    assert "cookie" not in request.headers


@pytest.mark.parametrize("status", [200, 202, 299, 301, 302, 307, 400, 410, 429, 500, 503])
async def test_the_status_is_the_answer_and_no_redirect_is_followed(status: int) -> None:
    async with Receiver.open() as elsewhere:

        async def redirect(_: Received) -> bytes:
            return (
                f"HTTP/1.1 {status} Answer\r\nlocation: {elsewhere.url}\r\n"
                "set-cookie: a=b\r\ncontent-length: 0\r\n\r\n"
            ).encode()

        async with Receiver.open(redirect) as receiver:
            async with HttpSender(allow_unsafe=True).open(receiver.url) as endpoint:
                answers = [await endpoint.send(CONTENT) for _ in range(2)]
    assert [answer.status for answer in answers] == [status, status]
    assert answers[0].is_success == (status < 300)
    assert not elsewhere.received
    assert all("cookie" not in request.headers for request in receiver.received)
    assert receiver.connections == 1


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Receiver.open() as proxy, Receiver.open() as receiver:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        async with HttpSender(allow_unsafe=True).open(receiver.url) as endpoint:
            assert (await endpoint.send(CONTENT)).is_success
    assert not proxy.connections


async def test_a_kept_connection_that_the_endpoint_has_closed_is_no_failure() -> None:
    async def closing(_: Received) -> bytes:
        return b"HTTP/1.1 204 Answer\r\n\r\n"

    async with Receiver.open(closing) as receiver:
        async with HttpSender(allow_unsafe=True).open(receiver.url) as endpoint:
            assert (await endpoint.send(CONTENT)).is_success
            receiver.close_connections()
            assert (await endpoint.send(CONTENT)).is_success
    assert receiver.connections == 2


async def test_an_endpoint_that_says_nothing_costs_the_time_limit() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    answer = await sent_to(silent)
    assert (answer.status, answer.error) == (None, "timeout")
    assert answer.seconds < 2


@pytest.mark.parametrize("status_first", [True, False])
async def test_an_answer_that_drips_costs_the_time_limit(status_first: bool) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if status_first:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n")
        for byte in b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n":
            writer.write(bytes([byte]))
            await asyncio.sleep(0.05)

    answer = await sent_to(drip)
    assert (answer.status, answer.error) == ((200, None) if status_first else (None, "timeout"))
    assert answer.seconds < 2


async def test_an_endless_answer_is_read_only_in_part() -> None:
    written = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + zlib.compress(b"0" * 10**6)
        )
        while True:
            writer.write(b"0" * 10_000)
            written += 10_000
            await writer.drain()

    tracemalloc.start()
    answer = await sent_to(flood, seconds=5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (answer.status, answer.error) == (200, None)
    assert answer.seconds < 4
    # The buffers of the sockets have taken the rest.
    assert written < 20_000_000
    assert peak < 50 * MAX_ANSWER_BYTES


@pytest.mark.parametrize(
    "piece",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n",
        b"x: y\r\n",
    ],
)
async def test_headers_without_end_are_cut_off_and_do_not_hold_the_event_loop(piece: bytes) -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if piece.startswith(b"x"):
            writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(piece * 500)
            await writer.drain()

    work = asyncio.create_task(sent_to(flood, seconds=5))
    gap = await widest_gap(work)
    answer = await work
    assert answer.status is None
    assert answer.error in ("answer-too-large", "answer-malformed")
    assert gap < 0.25


async def test_an_answer_is_parsed_in_small_pieces() -> None:
    """A parser that gets 64 KiB of tiny headers at once holds the event loop for long."""

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x" * 1_000_000)

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    async with server:
        network = CheckedNetwork(SystemResolver(), allow_unsafe=True)
        port = server.sockets[0].getsockname()[1]
        stream = await network.connect_tcp("127.0.0.1", port)
        read = 0
        while read < MAX_ANSWER_BYTES:
            piece = await stream.read(65_536)
            assert 0 < len(piece) <= 4096
            read += len(piece)
        with pytest.raises(AnswerTooLarge):
            await stream.read(1)
        await stream.aclose()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", "connection-lost"),
        (b"HTTP/1.1 200", "connection-lost"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "answer-malformed"),
        (b"HTTP/1.1 two OK\r\n\r\n", "answer-malformed"),
        (b"\x16\x03\x01\x00\x05", "answer-malformed"),
    ],
)
async def test_what_is_no_answer_is_a_failure(answer: bytes, error: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    assert (await sent_to(serve)).error == error


async def test_a_port_without_server_is_a_failure() -> None:
    async with Receiver.open() as receiver:
        url = receiver.url
    async with HttpSender(allow_unsafe=True).open(url) as endpoint:
        answer = await endpoint.send(CONTENT)
    assert (answer.status, answer.error) == (None, "connection-failed")


async def test_a_slow_endpoint_has_eight_requests_at_most() -> None:
    async def slow(request: Received) -> int:
        await asyncio.sleep(0.02)
        return await accept(request)

    async with Receiver.open(slow) as receiver:
        async with HttpSender(allow_unsafe=True).open(receiver.url) as endpoint:
            await asyncio.gather(*(endpoint.send(CONTENT) for _ in range(30)))
    assert receiver.max_at_once == receiver.connections == 8
