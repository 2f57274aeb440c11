"""HTTP/1.1 on a connection: one request at a time, of bounded size, in bounded time."""

import asyncio
import re
from typing import Any, Final

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from interfaces.cli.server.deadline import Awaited, Deadline
from interfaces.cli.server.refusal import refusal
from interfaces.cli.server.request_body import (
    MAX_FIELDS,
    MAX_HEAD_BYTES,
    ChunkedBody,
    MalformedMessage,
    SizedBody,
    body_of,
)

# The other connections have their turn between two slices.
_SLICE_BYTES: Final = 64 * 1024
# No route has a longer path, and to decode a percent-encoded one takes time for each character.
_MAX_PATH_BYTES: Final = 2048
_MAX_DISCARDED_BYTES: Final = 256 * 1024
_PROTOCOLS: Final = (b" HTTP/1.1", b" HTTP/1.0")
_NEVER_A_HEAD: Final = re.compile(rb"\A[^A-Z]|(?<!\r)\n")
_NO_HTTP: Final = "This is no HTTP/1.1 request."
_TOO_LONG: Final = f"The head has more than {MAX_HEAD_BYTES // 1024} KiB or {MAX_FIELDS} headers."
_LONG_PATH: Final = f"The path has more than {_MAX_PATH_BYTES:,} characters."
_NO_HOST: Final = "A request needs one Host header."
_NO_BODY: Final = "A request for a WebSocket has no body, and nothing may follow it."
_TOO_LATE: Final = "The rest of the request came too late."


class BoundedHttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which gets a request only when the one before is answered.

    By itself it queues all requests that a client sends, joins any number of pieces of a header,
    takes trailers for headers, waits forever for the rest of a request, and loses the body of one
    that offers an upgrade (as curl and Java offer HTTP/2). So this class finds the ends of heads
    and bodies itself. The parser, a new one for each request, gets whole heads and nothing else.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._received = bytearray()
        self._body: SizedBody | ChunkedBody | None = None
        self._deadline = Deadline(self.loop, self._give_up)
        self._turn: asyncio.Handle | None = None
        self._discarded = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = self._flow = _Flow(transport)
        self._deadline.set("head")

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.set(None)
        if self._turn is not None:
            self._turn.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deadline.awaited == "close":
            self._discarded += len(data)
            if self._discarded > _MAX_DISCARDED_BYTES:
                self.transport.close()
            return
        self._received += data
        if len(data) > _SLICE_BYTES:
            self._continue_later()
        else:
            self._continue()

    def on_headers_complete(self) -> None:
        if len(self.headers) > MAX_FIELDS:
            raise MalformedMessage(_TOO_LONG)
        if len(self.url.partition(b"?")[0]) > _MAX_PATH_BYTES:
            raise MalformedMessage(_LONG_PATH)
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() == "1.1"):
            raise MalformedMessage(_NO_HOST)
        body = body_of(self.headers)
        super().on_headers_complete()
        self._body = body

    def on_message_complete(self) -> None:
        # The parser takes the end of a head for the end of the message if it offers an upgrade.
        if self._body is None:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self._body is not None and self.expect_100_continue:
            # What follows is the body or, if the client leaves it out, another request.
            self._end()
        else:
            self._continue()

    def _should_upgrade(self) -> bool:
        asked = self.scope["method"] == "GET" and self.scope["http_version"] == "1.1"
        has_key = any(name == b"sec-websocket-key" for name, _ in self.headers)
        return asked and has_key and super()._should_upgrade()

    def _continue_later(self) -> None:
        self._turn = self.loop.call_soon(self._continue)
        self._settle()

    def _continue(self) -> None:
        """Handle what was received, up to the end of a request that is not answered yet."""
        self._turn = None
        try:
            while self._received and not self.transport.is_closing():
                if self._body is not None:
                    if not self._read_body(self._body):
                        break
                elif not self._is_answered() or not self._read_head():
                    break
        except MalformedMessage as error:
            self._refuse(str(error))
        else:
            self._settle()

    def _read_head(self) -> bool:
        """Parse a whole head, which begins a request; False if the rest of it is missing."""
        # RFC 9112, section 2.2: empty lines before a request are ignored.
        received = self._received = self._received.lstrip(b"\r\n")
        line = received.find(b"\r\n")
        if line >= 0 and not received.endswith(_PROTOCOLS, 0, line):
            raise MalformedMessage(_NO_HTTP)
        size = received.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES) + 4
        if size < 4:
            if len(received) >= MAX_HEAD_BYTES:
                raise MalformedMessage(_TOO_LONG)
            if _NEVER_A_HEAD.search(received):
                raise MalformedMessage(_NO_HTTP)
            return False
        head = bytes(received[:size])
        del received[:size]
        self.parser = httptools.HttpRequestParser(self)
        try:
            self.parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self._open_websocket()
        except httptools.HttpParserError as error:
            reason = error.__context__
            known = isinstance(reason, MalformedMessage)
            raise MalformedMessage(str(reason) if known else _NO_HTTP) from None
        return True

    def _open_websocket(self) -> None:
        # RFC 6455, section 4.1: the client sends nothing more before the answer.
        has_body, self._body = self._body is not None, None
        if has_body or self._received:
            raise MalformedMessage(_NO_BODY)
        self._deadline.set(None)
        self.handle_websocket_upgrade()

    def _read_body(self, body: SizedBody | ChunkedBody) -> bool:
        """Take what is there of a body; False if the rest of it is missing."""
        if self._deadline.awaited == "piece":
            self._deadline.renew()
        if data := body.take(self._received):
            self.on_body(data)
        if body.is_whole:
            self._body = None
            self.on_message_complete()
        elif body.is_interrupted:
            self._turn = self.loop.call_soon(self._continue)
        return body.is_whole

    def _settle(self) -> None:
        """What is awaited from now on decides how long, and whether to read."""
        is_mine = self.transport.get_protocol() is self
        if self.transport.is_closing() or not is_mine or self._deadline.awaited == "close":
            return
        answered = self._is_answered()
        if self._body is not None:
            self._deadline.set("rest" if answered else "piece")
        elif not answered:
            self._deadline.set(None)
        else:
            self._deadline.set("head" if self._received or not self.cycle else "request")
        self._flow.hold(
            self._turn is not None or bool(self._received and self._deadline.awaited is None)
        )
        if answered or len(self.cycle.body) <= HIGH_WATER_LIMIT:
            self._flow.resume_reading()

    def _is_answered(self) -> bool:
        """Whether the last request, if there was one, has its whole answer."""
        return not self.cycle or self.cycle.response_complete

    def _give_up(self, awaited: Awaited) -> None:
        if self.transport.is_closing():
            return
        if awaited == "piece" and self._flow.read_paused:
            # The client is not the slow one.
            self._deadline.set("piece")
        elif awaited == "piece" or (awaited == "head" and self._received):
            self._refuse(_TOO_LATE)
        else:
            self.transport.close()

    def _refuse(self, detail: str) -> None:
        """Answer that this is no request, if nothing else answers it already."""
        of_body = self._body is not None
        if not of_body or not (self._is_answered() or self.cycle.response_started):
            answer = refusal("malformed-request", detail)
            pairs = [*self.server_state.default_headers, *answer.headers]
            lines = [name + b": " + value + b"\r\n" for name, value in pairs]
            self.transport.write(
                b"".join([STATUS_LINE[answer.status], *lines, b"\r\n", answer.body])
            )
        self._end()

    def _end(self) -> None:
        """Close when the client has closed, or soon.

        Closing before it has read the answer could take the answer from it: with an unread byte,
        the system resets the connection.
        """
        self._received.clear()
        self._body = None
        if not self._is_answered():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self.flow.resume_writing()
        self.transport.write_eof()
        self._deadline.set("close")
        self._flow.hold(False)
        self._flow.resume_reading()


class _Flow(FlowControl):
    """Reads on only if what was read before is handled."""

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self._held = False

    def hold(self, held: bool) -> None:
        self._held = held
        if held:
            self.pause_reading()

    def resume_reading(self) -> None:
        if not self._held:
            super().resume_reading()
