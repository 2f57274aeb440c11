"""A doorbell across processes by LISTEN and NOTIFY; listeners also poll, so rings may be lost."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, NoReturn, Self

import psycopg
from structlog import get_logger

from application.doorbell import Bell
from application.retry import BackOff
from infrastructure.doorbell.memory import MemoryDoorbell
from infrastructure.doorbell.outbox import Outbox
from infrastructure.postgres import Connection, abort, answered_within, connect

# The append function notifies this channel, in the transaction of the events; its bell is `log`.
EVENTS: Final = "rollbook"
# All other bells. So a process whose events come over another way hears these without the events.
BELLS: Final = "rollbook_bells"
_REPLY_SECONDS: Final = 2.0

# A bell carries no data, so its commit need not wait for the disk.
_UNSYNCED: Final = "SELECT set_config('synchronous_commit', 'off', false)"
_NOTIFY: Final = "SELECT pg_notify(%s, name) FROM unnest(%s::text[]) AS name"

log = get_logger(__name__)


class PostgresDoorbell:
    """Rings in this process at once and in others a moment later; repeated rings are merged.

    One connection listens for the whole process. When it reconnects, all bells ring, because
    notifications may have been missed. It can share the `bells` of another doorbell. Without
    `events`, it does not listen for what the append function notifies.
    """

    def __init__(
        self, database_url: str, bells: MemoryDoorbell | None = None, *, events: bool = True
    ) -> None:
        self._database_url = database_url
        self._channels = (EVENTS, BELLS) if events else (BELLS,)
        self._bells = MemoryDoorbell() if bells is None else bells
        self._outbox = Outbox()
        self._tried_to_listen = asyncio.Event()
        self._sender: Connection | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls, database_url: str, bells: MemoryDoorbell | None = None, *, events: bool = True
    ) -> AsyncGenerator[Self]:
        """A doorbell that listens at once or, if the server is away, as soon as it is back."""
        doorbell = cls(database_url, bells, events=events)
        tasks = [asyncio.create_task(doorbell._listen()), asyncio.create_task(doorbell._send())]
        try:
            await doorbell._tried_to_listen.wait()
            yield doorbell
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def ring(self, name: str) -> None:
        self._bells.ring(name)
        self._outbox.add(name)

    def listen(self, name: str) -> AbstractAsyncContextManager[Bell]:
        return self._bells.listen(name)

    async def _listen(self) -> NoReturn:
        back_off = BackOff("doorbell")
        while True:
            try:
                async with await connect(self._database_url, "rollbook doorbell") as connection:
                    for channel in self._channels:
                        await connection.execute(f"LISTEN {channel}")
                    log.info("doorbell_listens", over="postgres", channels=self._channels)
                    back_off.reset()
                    self._tried_to_listen.set()
                    self._bells.ring_all()
                    await self._receive(connection)
            except (psycopg.Error, OSError) as error:
                self._tried_to_listen.set()
                await back_off.wait(error)

    async def _receive(self, connection: Connection) -> None:
        async for notify in connection.notifies():
            # Bells that this process sent have already rung here.
            if self._sender is None or notify.pid != self._sender.info.backend_pid:
                self._bells.ring(notify.payload)

    async def _send(self) -> NoReturn:
        try:
            await self._outbox.send_by(self._notify, psycopg.Error, OSError)
        finally:
            self._close_sender()

    async def _notify(self, names: list[str]) -> None:
        try:
            if self._sender is None:
                self._sender = await connect(self._database_url, "rollbook doorbell")
                await self._sender.execute(_UNSYNCED)
            async with answered_within(_REPLY_SECONDS, self._sender):
                await self._sender.execute(_NOTIFY, (BELLS, names))
        except (psycopg.Error, OSError):
            self._close_sender()
            raise

    def _close_sender(self) -> None:
        if self._sender is not None:
            abort(self._sender)
            self._sender.pgconn.finish()
            self._sender = None
