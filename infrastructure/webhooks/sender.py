"""Sends signed requests to endpoints: the one place from which the server calls other parties."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final

import httpcore2
from standardwebhooks import Webhook

from application.webhooks.delivery_ports import (
    Answer,
    Endpoint,
    SendError,
    SignedBody,
    TargetRefused,
)
from application.webhooks.targets import Target, parse_target
from infrastructure.webhooks.network import AnswerTooLarge, CheckedNetwork, checked_addresses
from infrastructure.webhooks.resolver import Resolve, SystemResolver

SECONDS: Final = 10.0
# Servers close idle connections after 5 s or more; a request then arrives at a closed connection.
_IDLE_SECONDS: Final = 4.0
_CONNECTIONS: Final = 8

Clock = Callable[[], datetime]


def _now() -> datetime:
    return datetime.now(UTC)


class HttpSender:
    """See `WebhookSender` and `TargetCheck`.

    It uses no proxy of the environment, follows no redirect, keeps no cookie and reads 64 KiB of
    an answer at most.
    """

    def __init__(
        self,
        *,
        allow_unsafe: bool = False,
        resolve: Resolve | None = None,
        ssl_context: ssl.SSLContext | None = None,
        seconds: float = SECONDS,
        clock: Clock = _now,
    ) -> None:
        self._allow_unsafe = allow_unsafe
        self._resolve = resolve or SystemResolver()
        self._ssl_context = ssl_context or ssl.create_default_context()
        self._seconds = seconds
        self._clock = clock

    async def check(self, url: str) -> None:
        target = parse_target(url, allow_unsafe=self._allow_unsafe)
        try:
            async with asyncio.timeout(self._seconds):
                await checked_addresses(target.host, self._resolve, allow_unsafe=self._allow_unsafe)
        except TimeoutError:
            reason = "The look-up of the host's name takes too long."
            raise TargetRefused("name-not-found", reason) from None

    @asynccontextmanager
    async def open(self, url: str) -> AsyncGenerator[Endpoint]:
        try:
            target = parse_target(url, allow_unsafe=self._allow_unsafe)
        except TargetRefused as error:
            yield _RefusedEndpoint(error.code)
            return
        async with httpcore2.AsyncConnectionPool(
            ssl_context=self._ssl_context,
            max_connections=_CONNECTIONS,
            keepalive_expiry=_IDLE_SECONDS,
            network_backend=CheckedNetwork(self._resolve, allow_unsafe=self._allow_unsafe),
        ) as pool:
            yield HttpEndpoint(pool, target, self._seconds, self._clock)


class _RefusedEndpoint:
    """An endpoint at a URL that is not allowed (any more)."""

    def __init__(self, code: SendError) -> None:
        self._code: SendError = code

    async def send(self, content: SignedBody) -> Answer:
        return Answer(error=self._code, seconds=0.0)


class HttpEndpoint:
    """See `Endpoint`; up to eight requests run at the same time, and more wait for their turn."""

    def __init__(
        self, pool: httpcore2.AsyncConnectionPool, target: Target, seconds: float, clock: Clock
    ) -> None:
        self._pool = pool
        self._url = httpcore2.URL(
            scheme=target.scheme.encode(),
            host=target.host.encode(),
            port=target.port,
            target=target.path.encode(),
        )
        self._host = _host_header(target)
        self._seconds = seconds
        self._clock = clock

    async def send(self, content: SignedBody) -> Answer:
        loop = asyncio.get_running_loop()
        began = loop.time()
        request = self._request(content)
        status: int | None = None
        error: SendError | None = None
        try:
            async with asyncio.timeout(self._seconds):
                response = await self._answered(request)
                status = response.status
                try:
                    async for _ in response.aiter_stream():
                        pass
                finally:
                    await response.aclose()
        except Exception as failure:
            code = error_of(failure)
            # With a status the endpoint has decided, whatever becomes of the rest of its answer.
            error = code if status is None else None
        return Answer(status=status, error=error, seconds=loop.time() - began)

    async def _answered(self, request: httpcore2.Request) -> httpcore2.Response:
        try:
            return await self._pool.handle_async_request(request)
        except (httpcore2.NetworkError, httpcore2.RemoteProtocolError) as failure:
            if error_of(failure) != "connection-lost":
                raise
            # A server may close an idle connection at the moment when a request is written to it.
            # Once more; the endpoint knows a repeat by its id.
            return await self._pool.handle_async_request(request)

    def _request(self, content: SignedBody) -> httpcore2.Request:
        now = self._clock()
        data = content.body.decode()
        signatures = " ".join(
            Webhook(secret).sign(content.message_id, now, data) for secret in content.secrets
        )
        return httpcore2.Request(
            b"POST",
            self._url,
            headers=[
                (b"host", self._host),
                (b"user-agent", b"Rollbook"),
                (b"accept-encoding", b"identity"),
                (b"content-type", b"application/json"),
                (b"content-length", str(len(content.body)).encode()),
                (b"webhook-id", content.message_id.encode()),
                (b"webhook-timestamp", str(int(now.timestamp())).encode()),
                (b"webhook-signature", signatures.encode()),
            ],
            content=content.body,
        )


def error_of(failure: Exception) -> SendError:
    """The code of a failure. Raises it if it is an error of Rollbook."""
    match failure:
        case TargetRefused():
            return failure.code
        case TimeoutError():
            return "timeout"
        case AnswerTooLarge():
            return "answer-too-large"
        case httpcore2.ConnectError() if _is_from_tls(failure):
            return "tls-failed"
        case httpcore2.ConnectError() | httpcore2.ConnectTimeout():
            return "connection-failed"
        case httpcore2.NetworkError():
            return "connection-lost"
        case httpcore2.RemoteProtocolError():
            lost = "disconnected" in str(failure)
            return "connection-lost" if lost else "answer-malformed"
        case _:
            raise failure


def _is_from_tls(failure: BaseException) -> bool:
    cause = failure.__context__  # the pool raises `from None`
    return cause is not None and (isinstance(cause, ssl.SSLError) or _is_from_tls(cause))


def _host_header(target: Target) -> bytes:
    host = f"[{target.host}]" if ":" in target.host else target.host
    default = 443 if target.scheme == "https" else 80
    return (host if target.port == default else f"{host}:{target.port}").encode()
