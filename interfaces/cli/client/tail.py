"""`rollbook tail`: prints the events of a running Rollbook; it resumes after interruptions."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
import typer
from msgspec import Raw, Struct
from rich.console import Console
from rich.text import Text
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from interfaces.cli.errors import CommandFailed
from interfaces.cli.target.connection import Connection, find_rollbook

_FIRST_PAUSE: Final = 0.25
_MAX_PAUSE: Final = 8.0
_CONNECT_SECONDS: Final = 5.0
# Close codes for which a retry is useless.
_FINAL: Final = frozenset({4400, 4401, 4403, 4410})


class TailEnded(CommandFailed):
    """The stream cannot continue; the message says why."""


class TailRequest(Struct, frozen=True):
    """`after` None means only new events; an empty filter is none."""

    after: int | None = None
    types: str = ""
    user: str = ""


class _Frame(Struct, frozen=True):
    """The members of a message that a client needs; it ignores all others."""

    kind: str
    log: str = ""
    position: int | None = None
    events: tuple[Raw, ...] = ()


class _Event(Struct, frozen=True):
    position: str
    time: str
    type: str
    subject: str
    actor: str
    data: dict[str, Any]


def tail(data_directory: Path, request: TailRequest, *, json: bool) -> None:
    """Print each event once, until Ctrl-C.

    Raises `TailEnded`, `NoRollbook` or `WrongSetting`.
    """
    connection = find_rollbook(data_directory)
    try:
        asyncio.run(_print_all(connection, request, typer.echo if json else _line_printer()))
    except KeyboardInterrupt:
        return


async def _print_all(
    connection: Connection, request: TailRequest, show: Callable[[bytes], None]
) -> None:
    async with aclosing(envelopes(connection, request)) as events:
        async for event in events:
            show(event)


async def envelopes(connection: Connection, request: TailRequest) -> AsyncGenerator[bytes]:
    """Each event as JSON, once and in order; it resumes after an interruption.

    Raises `TailEnded` if no server answers at first, or the stream is refused.
    """
    place = _Place(request.after)
    while True:
        reason = "the server closed it"
        try:
            async with _stream(connection, request, place.position) as stream:
                async for message in stream:
                    for event in place.read(message):
                        yield event
        except ConnectionClosed as end:
            code, text = (end.rcvd.code, end.rcvd.reason) if end.rcvd else (1006, "")
            reason = text.rstrip(".") or f"code {code}"
            if code in _FINAL:
                raise TailEnded(f"the stream is refused: {reason}") from None
        except (OSError, InvalidHandshake, msgspec.DecodeError):
            reason = f"no Rollbook answers at {connection.url}"
            if not place.log:
                raise TailEnded(reason) from None
        typer.echo(f"rollbook: interrupted, continuing after {place.position}: {reason}", err=True)
        await place.pause()


class _Place:
    """The position of a reader, and its log."""

    def __init__(self, position: int | None) -> None:
        self.position = position
        self.log = ""
        self._pause = _FIRST_PAUSE

    def read(self, message: str | bytes) -> Iterator[bytes]:
        """The events of a message; the position moves with each. Raises `TailEnded`."""
        frame = msgspec.json.decode(message, type=_Frame)
        if frame.kind == "ready":
            if self.log not in ("", frame.log):
                raise TailEnded("another log answers there now")
            self.log, self._pause = frame.log, _FIRST_PAUSE
        for event in frame.events:
            self.position = int(msgspec.json.decode(event, type=_Event).position)
            yield bytes(event)
        if frame.position is not None:
            self.position = frame.position

    async def pause(self) -> None:
        """Wait, longer after each failed attempt."""
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, _MAX_PAUSE)


def _stream(connection: Connection, request: TailRequest, position: int | None) -> connect:
    given = {"after": position, "types": request.types, "user": request.user}
    query = urlencode({name: value for name, value in given.items() if value not in (None, "")})
    return connect(
        f"{connection.url.replace('http', 'ws', 1)}/v1/stream?{query}",
        additional_headers={"Authorization": f"Bearer {connection.token}"},
        open_timeout=_CONNECT_SECONDS,
        proxy=None if connection.is_local else True,
    )


def _line_printer() -> Callable[[bytes], None]:
    """Prints one line per event: position, time, type, subject, actor and data."""
    console = Console(soft_wrap=True, highlight=False)

    def show(envelope: bytes) -> None:
        event = msgspec.json.decode(envelope, type=_Event)
        console.print(
            Text.assemble(
                (f"{event.position:>8}  {event.time[:19].replace('T', ' ')}  ", "dim"),
                (f"{event.type:<24}", "bold"),
                f"  {event.subject}  {event.actor}  ",
                (msgspec.json.encode(event.data).decode(), "cyan"),
            )
        )

    return show
