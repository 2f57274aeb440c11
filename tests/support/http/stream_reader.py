"""A WebSocket client that reconnects from its last position whenever its stream ends."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, NoReturn, Self

from websockets.exceptions import WebSocketException

from tests.support.http.streaming import stream_socket
from tests.support.run.background import in_background

Json = dict[str, Any]

_PAUSE_SECONDS: Final = 0.1
_POLL_SECONDS: Final = 0.02


class StreamReader:
    """`events` holds all events of all its `streams`; the client resumes with its position only."""

    def __init__(self, url: str, token: str, after: int) -> None:
        self._url = url
        self._token = token
        self.position = after
        self.events: list[Json] = []
        self.streams = 0

    @classmethod
    @asynccontextmanager
    async def on(cls, url: str, token: str, after: int) -> AsyncGenerator[Self]:
        reader = cls(url, token, after)
        async with in_background(reader._keep_reading()):
            yield reader

    async def wait_for(self, position: int, timeout_seconds: float = 15) -> None:
        """Return when the client has received all events up to a position."""
        try:
            async with asyncio.timeout(timeout_seconds):
                while self.position < position:
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            raise AssertionError(
                f"at {self.position}, not {position}, after {timeout_seconds} s"
            ) from None

    async def _keep_reading(self) -> NoReturn:
        while True:
            with suppress(OSError, TimeoutError, WebSocketException):
                await self._read()
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _read(self) -> None:
        async with stream_socket(self._url, f"?after={self.position}", self._token) as stream:
            async for message in stream:
                self._take(json.loads(message))

    def _take(self, frame: Json) -> None:
        match frame["kind"]:
            case "ready":
                self.streams += 1
            case "events":
                self.events += frame["events"]
                self.position = int(frame["events"][-1]["position"])
            case "notification":
                pass
            case "heartbeat":
                self.position = max(self.position, frame["position"])
            case other:
                raise AssertionError(f"a frame of the kind {other}")
