"""`rollbook tail`: the events of a running Rollbook as they are recorded, over all interruptions."""

import asyncio
from collections.abc import AsyncGenerator, Callable
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

from interfaces.cli.connection import Connection, find_rollbook
from interfaces.cli.errors import CommandFailed

_FIRST_WAIT: Final = 0.25
_LONGEST_WAIT: Final = 8.0
_CONNECT_SECONDS: Final = 5.0
# Codes of closing that the same request would meet again.
_FINAL: Final = frozenset({4400, 4401, 4403, 4410})


class TailEnded(CommandFailed):
    """The stream cannot go on; the message says why."""


class Asked(Struct, frozen=True):
    """`after` None is only what is new; empty filters are none."""

    after: int | None = None
    types: str = ""
    user: str = ""


class _Frame(Struct, frozen=True):
    """What a client needs of a message; what it does not know it ignores."""

    kind: str
    log: str = ""
    position: int = 0
    events: tuple[Raw, ...] = ()


class _Event(Struct, frozen=True):
    position: str
    time: str
    type: str
    subject: str
    actor: str
    data: dict[str, Any]


def tail(data_directory: Path, asked: Asked, *, json: bool) -> None:
    """Print each event once, until Ctrl-C.

    Raises `TailEnded`, `NoRollbook` or `WrongSetting`.
    """
    connection = find_rollbook(data_directory)
    try:
        asyncio.run(_print_all(connection, asked, typer.echo if json else _line_printer()))
    except KeyboardInterrupt:
        return


async def _print_all(connection: Connection, asked: Asked, show: Callable[[bytes], None]) -> None:
    async with aclosing(envelopes(connection, asked)) as events:
        async for event in events:
            show(event)


async def envelopes(connection: Connection, asked: Asked) -> AsyncGenerator[bytes]:
    """Each event as JSON, once and in order; after an interruption it goes on where it was.

    Raises `TailEnded` where nobody answers at first, or the stream is refused.
    """
    position, log, wait = asked.after, "", 0.0
    while True:
        reason = f"no Rollbook answers at {connection.url}"
        try:
            async with _stream(connection, asked, position) as stream:
                async for message in stream:
                    frame = msgspec.json.decode(message, type=_Frame)
                    if frame.kind == "ready":
                        if log not in ("", frame.log):
                            raise TailEnded(f"another log answers at {connection.url} now")
                        log, position, wait = frame.log, frame.position, 0.0
                    for event in frame.events:
                        position = int(msgspec.json.decode(event, type=_Event).position)
                        yield bytes(event)
                    if frame.kind == "heartbeat":
                        position = frame.position
            reason = "the server closed it"
        except ConnectionClosed as end:
            code, told = (end.rcvd.code, end.rcvd.reason) if end.rcvd else (1006, "it broke off")
            reason = told or f"code {code}"
            if code in _FINAL:
                raise TailEnded(f"the stream is refused: {reason.rstrip('.')}") from None
        except (OSError, InvalidHandshake, TimeoutError, msgspec.DecodeError):
            if not log:
                raise TailEnded(reason) from None
        wait = min(2 * wait or _FIRST_WAIT, _LONGEST_WAIT)
        typer.echo(
            f"rollbook: interrupted ({reason.rstrip('.')}), going on after {position}", err=True
        )
        await asyncio.sleep(wait)


def _stream(connection: Connection, asked: Asked, position: int | None) -> connect:
    given = {"after": position, "types": asked.types, "user": asked.user}
    query = urlencode({name: value for name, value in given.items() if value not in (None, "")})
    return connect(
        f"{connection.url.replace('http', 'ws', 1)}/v1/stream?{query}",
        additional_headers={"Authorization": f"Bearer {connection.token}"},
        open_timeout=_CONNECT_SECONDS,
        proxy=None if connection.is_local else True,
    )


def _line_printer() -> Callable[[bytes], None]:
    """One line an event: where, when, what, on whom, by whom, and what it says."""
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
