"""WebSocket on a connection: few frames of bounded size, and refusals as everywhere."""

import asyncio
import logging
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, Final

from uvicorn._types import ASGISendEvent
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.datastructures import Headers
from websockets.frames import CLOSE, PING, PONG, Frame
from websockets.frames import CloseCode as RfcCode
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import BytesLike, StatusLike

from interfaces.cli.server.refusal import refusal
from interfaces.stream.closing import CloseCode, Closed
from interfaces.stream.limits import MessageBudget

MAX_MESSAGE_BYTES: Final = 16 * 1024
MAX_FRAMES_A_MINUTE: Final = 60
# For the client's answer to a close frame.
CLOSE_SECONDS: Final = 2.0

_MAX_DISCARDED_BYTES: Final = 256 * 1024
_HANDSHAKE: Final = (
    "A WebSocket is opened by GET with a head of few short lines, one Sec-WebSocket-Key of 16 bytes "
    "in base64 and Sec-WebSocket-Version: 13."
)
_INTERNAL: Final = "The server could not answer; its log says why."
_FAILURES: Final[dict[int, tuple[int, str]]] = {
    RfcCode.PROTOCOL_ERROR: (RfcCode.PROTOCOL_ERROR, "A frame breaks the rules of WebSocket."),
    RfcCode.INVALID_DATA: (RfcCode.INVALID_DATA, "Text must be UTF-8."),
    RfcCode.MESSAGE_TOO_BIG: (
        CloseCode.BAD_REQUEST,
        f"A message is larger than {MAX_MESSAGE_BYTES // 1024} KiB.",
    ),
    RfcCode.INTERNAL_ERROR: (
        RfcCode.INTERNAL_ERROR,
        "The connection failed; resume after your last position.",
    ),
}


class BoundedWebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol with a limit for frames of all kinds.

    By itself it answers any number of pings, keeps any number of empty fragments, never answers a
    handshake that its library cannot parse, and quotes the library in other refusals.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.close_timeout = CLOSE_SECONDS
        self.conn = self._frames = _Frames()
        self._discarded = 0

    def data_received(self, data: bytes) -> None:
        if self.conn.parser_exc is not None:
            self._discarded += len(data)
            if self._discarded > _MAX_DISCARDED_BYTES:
                self.transport.close()
            return
        super().data_received(data)
        if not self.handshake_initiated:
            self.transport.write(self.conn.reject(400, "").serialize())
            self.transport.close()

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        self._frames.expects_message = "Authorization" not in event.headers
        if not self.transport.is_closing():
            # Until the application has accepted, the client has nothing to say.
            self.read_paused = True
            self.transport.pause_reading()

    def handle_ping(self) -> None:
        # It may have arrived together with a frame that ended the connection.
        if not self.close_sent:
            super().handle_ping()

    def send_receive_event_to_app(self) -> None:
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError as error:
                # uvicorn would log each as an error of ours.
                self.conn.fail(RfcCode.INVALID_DATA)
                self.conn.parser_exc = error
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    async def send(self, message: ASGISendEvent) -> None:
        await super().send(message)
        if self.close_sent:
            # uvicorn would log each refusal of the application as an error of ours.
            self.handshake_complete = True

    def handle_parser_exception(self) -> None:
        """Send the close frame, and close when the client has, or soon.

        Closing at once could take the frame from the client: with an unread byte, the system
        resets the connection.
        """
        close = self.conn.close_sent
        assert close is not None
        self.queue.put_nowait(
            {"type": "websocket.disconnect", "code": close.code, "reason": close.reason}
        )
        self.disconnected = self.close_sent = True
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.write_eof()
        if self.close_timer is None:
            self.close_timer = self.loop.call_later(self.close_timeout, self.transport.close)


class _Frames(ServerProtocol):
    """The library's protocol with a budget for frames, and with reasons of ours.

    It compresses nothing: the length of a compressed message leaks a secret in it, if an attacker
    can repeat the message.
    """

    def __init__(self) -> None:
        super().__init__(max_size=MAX_MESSAGE_BYTES, logger=logging.getLogger("uvicorn.error"))
        self.expects_message = False
        self._budget = MessageBudget(MAX_FRAMES_A_MINUTE)
        self._pings = 0

    def recv_frame(self, frame: Frame) -> None:
        try:
            self._admit(frame)
        except Closed as closed:
            self.parser_exc = closed
            super().fail(closed.code, closed.reason)
        else:
            super().recv_frame(frame)

    def _admit(self, frame: Frame) -> None:
        """Raises `Closed` if the client may not send this frame."""
        if frame.opcode is CLOSE:
            return
        if frame.opcode is PONG and self._pings:
            self._pings -= 1
            return
        if self.expects_message:
            if frame.opcode in (PING, PONG):
                reason = "Nothing may come before the first message."
                raise Closed(CloseCode.BAD_REQUEST, reason)
            self.expects_message = not frame.fin
        self._budget.spend()

    def send_ping(self, data: BytesLike) -> None:
        self._pings += 1
        super().send_ping(data)

    def fail(self, code: RfcCode | int, reason: str = "") -> None:
        super().fail(*_FAILURES.get(code, (code, reason)))

    def reject(self, status: StatusLike, text: str) -> Response:
        failed = int(status) >= 500
        answer = refusal(
            "internal" if failed else "malformed-request", _INTERNAL if failed else _HANDSHAKE
        )
        headers = Headers(
            [
                ("date", formatdate(usegmt=True)),
                ("sec-websocket-version", "13"),
                *((name.decode(), value.decode()) for name, value in answer.headers),
            ]
        )
        return Response(answer.status, HTTPStatus(answer.status).phrase, headers, answer.body)
