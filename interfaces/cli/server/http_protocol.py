"""HTTP/1.1 on a connection: requests of bounded size in bounded time, and refusals as problems."""

import asyncio
from importlib.metadata import version
from typing import Any, Final

import httptools
from uuid_utils.compat import uuid7
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from interfaces.http.endpoint.errors import problem
from interfaces.http.endpoint.middleware import common_headers

HEAD_BYTES: Final = 64 * 1024
MAX_HEADERS: Final = 200
# For the whole head of a request, and for the next piece of its body.
TIMEOUT_SECONDS: Final = 30.0

_VERSION: Final = version("rollbook")
_NO_HTTP: Final = "This is no HTTP/1.1 request."
_TOO_LONG: Final = f"The head has more than {HEAD_BYTES // 1024} KiB or {MAX_HEADERS} headers."
_NO_HOST: Final = "A request needs one Host header."
_TOO_LATE: Final = f"Nothing came for {TIMEOUT_SECONDS:.0f} seconds."


class _BrokenHead(Exception):
    """The head breaks a rule that the parser does not know."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol with limits, so that a client without a token cannot block the process.

    uvicorn joins any number of pieces of a header (100 MB of one blocked the process for 40 s) and
    waits forever for the rest of a request. It loses the body of a request that offers an upgrade
    (as curl and Java offer HTTP/2). And it refuses what is not HTTP with its own text, in place of
    the answer that an earlier request on the connection waits for.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._in_head = False
        self._in_request = False
        self._began = False
        self._head_bytes = 0
        self._earlier: RequestResponseCycle | None = None
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._last_piece = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer(TIMEOUT_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._closed:
            return
        self._unset_keepalive_if_required()
        self._began = False
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            reason = error.__context__
            self._refuse(str(reason) if isinstance(reason, _BrokenHead) else _NO_HTTP)
            return
        if self._in_head:
            # It is not known where in a piece a head began, so the first piece does not count.
            self._head_bytes = 0 if self._began else self._head_bytes + len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse(_TOO_LONG)
                return
        if not self._in_request:
            self._stop_timer()
        elif self._timer is None:
            self._start_timer(TIMEOUT_SECONDS)
        if not self._in_head:
            self._last_piece = self.loop.time()

    def on_message_begin(self) -> None:
        self._began = self._in_head = self._in_request = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        hosts = sum(name == b"host" for name, _ in self.headers)
        if len(self.headers) > MAX_HEADERS:
            raise _BrokenHead(_TOO_LONG)
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() == "1.1"):
            raise _BrokenHead(_NO_HOST)
        earlier = self.cycle
        super().on_headers_complete()
        self._earlier = earlier
        self._in_head = False

    def on_message_complete(self) -> None:
        if self._is_cut_short():
            return
        self._in_request = False
        super().on_message_complete()

    def _should_upgrade(self) -> bool:
        asked = self.scope["method"] == "GET" and b"sec-websocket-key" in dict(self.headers)
        return asked and super()._should_upgrade()

    def _feed(self, data: bytes) -> None:
        """Parse; an offer to upgrade is accepted for a WebSocket, else ignored."""
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                if self._should_upgrade():
                    self._closed = True
                    self._stop_timer()
                    self.handle_websocket_upgrade()
                    return
                data = data[upgrade.args[0] :]
                self._replace_parser()
            else:
                return

    def _is_cut_short(self) -> bool:
        """Whether the parser takes an offer to upgrade for the end of a request with a body."""
        return self.parser.should_upgrade() and not self._should_upgrade() and self._has_body()

    def _has_body(self) -> bool:
        return any(
            name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0 "))
            for name, value in self.headers
        )

    def _replace_parser(self) -> None:
        """Continue after the head with a new parser that has not seen the offer."""
        callbacks = _Muted(self)
        self.parser = httptools.HttpRequestParser(callbacks)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        if self._in_request:
            framing = [
                name + b": " + value + b"\r\n"
                for name, value in self.headers
                if name in (b"content-length", b"transfer-encoding")
            ]
            self.parser.feed_data(b"POST / HTTP/1.1\r\n" + b"".join(framing) + b"\r\n")
        callbacks.muted = False

    def _refuse(self, detail: str) -> None:
        """Answer that this is not a request, unless an earlier request would get the answer."""
        self._closed = True
        self._stop_timer()
        earlier = self.cycle if self._in_head or not self._in_request else self._earlier
        if earlier is not None and not earlier.response_complete:
            if earlier is not self.cycle and self.pipeline:
                self.pipeline.popleft()
            earlier.keep_alive = False
            return
        if self.cycle is earlier or not self.cycle.response_started:
            self.send_400_response(detail)
        self.transport.close()

    def send_400_response(self, msg: str) -> None:
        answer = problem("malformed-request", msg)
        headers = [
            *self.server_state.default_headers,
            *answer.raw_headers,
            (b"x-request-id", str(uuid7()).encode()),
            *common_headers(_VERSION).items(),
            (b"connection", b"close"),
        ]
        lines = [name + b": " + value + b"\r\n" for name, value in headers]
        head = b"".join([STATUS_LINE[400], *lines, b"\r\n"])
        self.transport.write(head + bytes(answer.body))
        self.transport.close()

    def _start_timer(self, seconds: float) -> None:
        self._timer = self.loop.call_later(seconds, self._check_progress)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check_progress(self) -> None:
        """Check whether the rest of a request is still arriving."""
        self._timer = None
        if not self._in_request:
            self.transport.close()
            return
        left = 0.0
        if not self._in_head:
            # While the server does not read, the client is not the slow one.
            reading = not self.flow.read_paused
            left = self._last_piece + TIMEOUT_SECONDS - self.loop.time() if reading else 1.0
        if left > 0:
            self._start_timer(left)
        else:
            self._refuse(_TOO_LATE)


class _Muted:
    """A parser's callbacks, passed to the protocol only while not muted."""

    def __init__(self, protocol: BoundedHttpProtocol) -> None:
        self.muted = True
        self._protocol = protocol
        self.on_body = protocol.on_body
        self.on_message_complete = protocol.on_message_complete

    def on_message_begin(self) -> None:
        if not self.muted:
            self._protocol.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self.muted:
            self._protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.muted:
            self._protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self.muted:
            self._protocol.on_headers_complete()
