"""Requests to a running Rollbook, retried during its restarts and short failures."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

import httpx2
import msgspec
from msgspec import Struct

# About 48 s in all: a restart, a failover or a full queue takes less.
_WAITS: Final = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0, 8.0)
_MAX_WAIT: Final = 30.0
_TEMPORARY: Final = frozenset({429, 502, 503, 504})
_DENIED: Final = frozenset({401, 403})

Sleep = Callable[[float], Awaitable[object]]
T = TypeVar("T")


class Stopped(Exception):
    """This Rollbook cannot be used now; the message says why."""


class FieldProblem(Struct, frozen=True):
    pointer: str
    detail: str


class Problem(Struct, frozen=True):
    """The problem in an answer (RFC 9457); empty if there is none."""

    type: str = ""
    title: str = ""
    detail: str = ""
    errors: tuple[FieldProblem, ...] = ()


class Reply(Struct, frozen=True):
    status: int
    headers: Mapping[str, str]
    content: bytes

    def read(self, kind: type[T]) -> T:
        """The body; raises `Stopped` if it has another form: no Rollbook answered."""
        try:
            return msgspec.json.decode(self.content, type=kind)
        except msgspec.MsgspecError:
            raise Stopped("the answer is not from a Rollbook") from None

    @property
    def problem(self) -> Problem:
        try:
            return msgspec.json.decode(self.content, type=Problem)
        except msgspec.MsgspecError:
            return Problem()

    @property
    def slug(self) -> str:
        """The kind of problem, empty if it is none."""
        return self.problem.type.rpartition("/")[2]

    @property
    def reason(self) -> str:
        """What was wrong, by field if the answer names fields; it repeats no values."""
        problem = self.problem
        if problem.errors:
            each = (
                f"{error.pointer.removeprefix('#/')}: {error.detail}" for error in problem.errors
            )
            return "; ".join(text.rstrip(".") for text in each)
        return (problem.detail or problem.title).rstrip(".") or f"the server says {self.status}"

    @property
    def is_replayed(self) -> bool:
        return self.headers.get("Idempotency-Replayed") == "true"

    @property
    def is_temporary(self) -> bool:
        """Whether the same request can succeed a little later."""
        return self.status in _TEMPORARY or (self.status == 409 and self.slug == "conflict")

    @property
    def retry_after(self) -> float:
        """In seconds, 0 if the answer has none or a date."""
        seconds = self.headers.get("Retry-After", "")
        return min(float(seconds), _MAX_WAIT) if seconds.isdecimal() else 0.0


class Remote:
    """One Rollbook. Each fresh read sees at least what was written through this object before.

    Every method raises `Stopped` if a failure is permanent or the token is refused.
    """

    def __init__(self, client: httpx2.AsyncClient, sleep: Sleep = asyncio.sleep) -> None:
        self._client = client
        self._position = 0
        self.sleep = sleep

    async def check(self) -> None:
        """Check, before any work, that a Rollbook answers and accepts the token."""
        try:
            await self._client.get("/health/live")
        except httpx2.TransportError:
            raise Stopped(f"no Rollbook answers at {self._client.base_url}") from None
        reply = await self.get("/v1/me")
        if reply.status != 200:
            raise Stopped(f"no Rollbook answers at {self._client.base_url}: {reply.reason}")

    async def get(
        self, path: str, parameters: Mapping[str, str] | None = None, *, is_fresh: bool = True
    ) -> Reply:
        headers = {"Rollbook-Min-Position": str(self._position)} if is_fresh else {}
        return await self._send("GET", path, params=parameters, headers=headers)

    async def command(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> Reply:
        """Send a command, with retries: with an `Idempotency-Key` it is applied once."""
        return await self._send(method, path, content=body, headers=headers)

    async def _send(self, method: str, path: str, **request: Any) -> Reply:
        for wait in (*_WAITS, None):
            try:
                answer = await self._client.request(method, path, **request)
            except httpx2.TransportError as error:
                reason, retry_after = f"the connection failed ({type(error).__name__})", 0.0
            else:
                reply = Reply(answer.status_code, answer.headers, answer.content)
                if reply.status in _DENIED:
                    raise Stopped(f"the token is refused: {reply.reason}")
                if not reply.is_temporary:
                    self._remember(reply)
                    return reply
                reason, retry_after = reply.reason, reply.retry_after
            if wait is None:
                raise Stopped(reason)
            await self.sleep(max(wait, retry_after))
        raise AssertionError("the last attempt returns or raises")

    def _remember(self, reply: Reply) -> None:
        position = reply.headers.get("Rollbook-Position", "")
        if position.isdecimal():
            self._position = max(self._position, int(position))
