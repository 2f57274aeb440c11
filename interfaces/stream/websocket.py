"""`WS /v1/stream`: the life of one connection, from its first message to its close code."""

import asyncio
from collections.abc import Coroutine
from contextlib import aclosing, suppress
from typing import Final, NoReturn

from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from structlog import get_logger

from application.access.callers import Callers
from application.access.limits import payer_of
from application.access.openings import Openings
from application.errors import PositionAhead, PositionGone, Unavailable
from application.failures import describe
from application.identity import Principal
from application.live.notifications import Inbox, NoticeBoard
from application.live.tail import Cursor, Tail
from application.live.tickets import Tickets
from interfaces.presented import presented_in
from interfaces.request_ids import request_id_in
from interfaces.stream import frames
from interfaces.stream.closing import CloseCode, Closed
from interfaces.stream.limits import OpenStreams, SilentStreams
from interfaces.stream.opening import StreamRequest, by_header, by_message, from_message, from_query

PATH: Final = "/v1/stream"

_FIRST_MESSAGE_SECONDS: Final = 5.0
# Long enough for everything except a read from a frozen server.
_END_SECONDS: Final = 1.0
_MAX_STREAMS: Final = 100
_MAX_SILENT: Final = 500
_MAX_SILENT_PER_ADDRESS: Final = 100

log = get_logger(__name__)


class EventStream:
    """Serves the tail over WebSocket, one frame at a time per client.

    A client that takes longer than `send_seconds` for a frame is disconnected; it can resume.
    Each caller may have `max_streams` open in a process.
    """

    def __init__(
        self,
        tail: Tail,
        callers: Callers,
        tickets: Tickets,
        notices: NoticeBoard,
        openings: Openings,
        *,
        heartbeat_seconds: float = 15,
        first_message_seconds: float = _FIRST_MESSAGE_SECONDS,
        send_seconds: float = 10.0,
        max_streams: int = _MAX_STREAMS,
    ) -> None:
        self._tail = tail
        self._callers = callers
        self._tickets = tickets
        self._notices = notices
        self._openings = openings
        self._heartbeat_seconds = heartbeat_seconds
        self._send_seconds = send_seconds
        self._silent = SilentStreams(_MAX_SILENT, _MAX_SILENT_PER_ADDRESS, first_message_seconds)
        self._streams = OpenStreams(max_streams)

    def add_to(self, app: FastAPI) -> None:
        """Add its route."""
        app.router.add_websocket_route(PATH, self.serve)

    async def serve(self, websocket: WebSocket) -> None:
        """Accept first: only a connected client receives a close code."""
        await websocket.accept()
        try:
            await self._serve(websocket)
        except WebSocketDisconnect:
            return
        except Closed as closed:
            await self._close(websocket, closed)
        except Exception as error:
            log.error("stream_failed", error=describe(error))
            reason = "The server's log says why; resume."
            await self._close(websocket, Closed(CloseCode.INTERNAL_ERROR, reason))

    async def _serve(self, websocket: WebSocket) -> None:
        try:
            principal, asked = await self._opened(websocket)
            with self._streams.one_more(payer_of(principal)):
                position, head = await self._tail.place(asked.after)
                ready = frames.Ready(self._tail.log_id, position, head, self._heartbeat_seconds)
                await _Sender(websocket, self._send_seconds).send(ready)
                wanted = asked.filter_for(principal)
                async with (
                    self._tail.cursor(wanted, position) as cursor,
                    self._notices.listen() as inbox,
                ):
                    sender = _Sender(websocket, self._send_seconds)
                    await _first_of(
                        _listen(websocket),
                        self._send_events(
                            sender, cursor, principal, request_id_in(websocket.scope)
                        ),
                        _notify(sender, inbox),
                        self._end_with(principal),
                    )
        except PositionAhead as error:
            reason = f"after is above the head of the log, {error.head}."
            raise Closed(CloseCode.BAD_REQUEST, reason) from None
        except PositionGone as error:
            reason = f"resume_after={error.resume_after}"
            raise Closed(CloseCode.POSITION_GONE, reason) from None
        except Unavailable:
            reason = "The log cannot be read now; try again."
            raise Closed(CloseCode.TRY_AGAIN_LATER, reason) from None

    async def _opened(self, websocket: WebSocket) -> tuple[Principal, StreamRequest]:
        """The client and its request: by a header and the query, or by the first message."""
        query: bytes = websocket.scope["query_string"]
        if "authorization" in websocket.headers:
            presented = presented_in(websocket.scope)
            return await by_header(presented, self._callers), from_query(query)
        if query:
            reason = "Parameters in the address need an Authorization header."
            raise Closed(CloseCode.BAD_REQUEST, reason)
        address = websocket.client.host if websocket.client else ""
        message = from_message(await self._silent.first(address, _received(websocket)))
        return await by_message(message, self._callers, self._tickets), message

    async def _end_with(self, principal: Principal) -> NoReturn:
        """End the stream when its caller is revoked or expires."""
        await self._callers.until_ended(principal)
        reason = "The token or session has ended; sign in again."
        raise Closed(CloseCode.UNAUTHENTICATED, reason)

    async def _send_events(
        self, sender: "_Sender", cursor: Cursor, principal: Principal, correlation_id: str
    ) -> NoReturn:
        """Send what the cursor finds until the server stops.

        The first events of each hour wait until the log says that the client reads personal data.
        """
        opened = principal.may("users:read")
        async with aclosing(cursor.batches(self._heartbeat_seconds)) as batches:
            async for batch in batches:
                if batch.events:
                    if opened:
                        await self._openings.record(principal, "stream", correlation_id)
                    envelopes = (event.envelope(opened=opened) for event in batch.events)
                    await sender.send(frames.events(envelopes))
                else:
                    await sender.send(frames.Heartbeat(batch.position, batch.head))
        raise Closed(CloseCode.RESTARTING, "The server restarts; resume after your last position.")

    async def _close(self, websocket: WebSocket, closed: Closed) -> None:
        """Send the reason; do not wait longer for a client that does not read or is gone."""
        with suppress(TimeoutError, WebSocketDisconnect):
            async with asyncio.timeout(self._send_seconds):
                await websocket.close(closed.code, closed.reason)


class _Sender:
    """Sends frames to one client, one at a time."""

    def __init__(self, websocket: WebSocket, seconds: float) -> None:
        self._websocket = websocket
        self._seconds = seconds
        self._lock = asyncio.Lock()

    async def send(self, frame: frames.Frame) -> None:
        """Raises `Closed` if the client does not take it in time."""
        try:
            async with self._lock, asyncio.timeout(self._seconds):
                await self._websocket.send_text(frames.text(frame))
        except TimeoutError:
            reason = "You read too slowly; resume after your last position."
            raise Closed(CloseCode.TOO_SLOW, reason) from None


async def _notify(sender: _Sender, inbox: Inbox) -> NoReturn:
    """Send notifications for people, between the events."""
    while True:
        await sender.send(frames.Notification.of(await inbox.next()))


async def _listen(websocket: WebSocket) -> NoReturn:
    """Read messages to notice the end of the connection; none is expected, and few may come."""
    while True:
        await _received(websocket)


async def _received(websocket: WebSocket) -> str | bytes:
    """The next message. Raises `WebSocketDisconnect`."""
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"], message.get("reason"))
    text: str | None = message.get("text")
    return message["bytes"] if text is None else text


async def _first_of(*works: Coroutine[None, None, NoReturn]) -> NoReturn:
    """Run all until one fails; raise its error."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=_END_SECONDS)
    failures = [task.exception() for task in tasks if task.done() and not task.cancelled()]
    raise next(filter(None, failures))
