"""A load of commands over HTTP: callers with their own users, and all answers to them."""

import asyncio
import random
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any, Final, Self
from uuid import uuid4

import httpx2
from msgspec import Struct

REQUEST_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 0.05

Json = dict[str, Any]


class Command(Struct, frozen=True, kw_only=True):
    """A request, and the events that it must cause; its key is also its correlation id."""

    method: str
    path: str
    body: Json | None
    key: str
    causes: tuple[str, ...]


class Answer(Struct, frozen=True, kw_only=True):
    """The answer to a request; after a connection error, only status 0."""

    status: int
    seconds: float
    slug: str = ""
    user: str | None = None
    version: int | None = None
    position: int | None = None
    replayed: bool = False

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300


class Sent(Struct):
    """A command, and one answer for each time that it was sent."""

    command: Command
    answers: list[Answer]

    @property
    def accepted(self) -> Answer | None:
        return next((answer for answer in self.answers if answer.accepted), None)


class Load:
    """Concurrent callers, whose commands are refused only after a fault.

    A caller registers one user after another and changes it; all callers also change the
    attributes of one shared user. After a fault, a caller sends the same command again with the
    same key, or, with the probability `give_up_rate`, continues with another user.
    """

    def __init__(self, client: httpx2.AsyncClient, *, give_up_rate: float = 0.5) -> None:
        self.client = client
        self.sent: list[Sent] = []
        self._give_up_rate = give_up_rate
        self._pause_seconds = 0.0
        self._shared: str | None = None
        self._stopping = asyncio.Event()
        self._callers: list[asyncio.Task[None]] = []

    @classmethod
    @asynccontextmanager
    async def on(cls, url: str, token: str, *, give_up_rate: float = 0.5) -> AsyncGenerator[Self]:
        async with client_of(url, token) as client:
            load = cls(client, give_up_rate=give_up_rate)
            try:
                yield load
            finally:
                await load.stop()

    def users(self) -> list[str]:
        """The ids of the users whose registration was accepted, in order."""
        registered = (one.accepted for one in self.sent if one.command.method == "POST")
        return [one.user for one in registered if one is not None and one.user is not None]

    async def start(self, callers: int = 16, *, pause_seconds: float = 0.0) -> None:
        """Each caller pauses after a command; without pauses, the callers use a whole core."""
        self._pause_seconds = pause_seconds
        if self._shared is None:
            self._shared = (await self._until_accepted(_registration())).user
        self._stopping.clear()
        self._callers = [asyncio.create_task(self._call()) for _ in range(callers)]

    async def stop(self) -> None:
        """Return when each caller has finished its current request."""
        self._stopping.set()
        await asyncio.gather(*self._callers)

    async def wait_for_accepted(self, timeout_seconds: float) -> None:
        """Return when a command that was sent after this call is accepted."""
        seen = len(self.sent)
        async with asyncio.timeout(timeout_seconds):
            while not any(one.accepted for one in self.sent[seen:]):
                await asyncio.sleep(_PAUSE_SECONDS)

    async def repeat(self, sent: Iterable[Sent]) -> None:
        """Send each command once more with the same key, and record the answer."""
        await asyncio.gather(*(self._send(one) for one in sent))

    async def _call(self) -> None:
        while not self._stopping.is_set():
            await self._change_one_user()

    async def _change_one_user(self) -> None:
        registered = await self._send_with_retries(_registration())
        if registered is None or registered.user is None:
            return
        for command in _user_commands(registered.user, self._shared):
            await asyncio.sleep(self._pause_seconds)
            if self._stopping.is_set() or not await self._send_with_retries(command):
                return

    async def _send_with_retries(self, command: Command) -> Answer | None:
        """The answer that accepted the command; None if the caller gave up."""
        sent = Sent(command, [])
        self.sent.append(sent)
        while True:
            answer = await self._send(sent)
            if answer.accepted:
                return answer
            if self._stopping.is_set() or random.random() < self._give_up_rate:
                return None
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _until_accepted(self, command: Command) -> Answer:
        sent = Sent(command, [])
        self.sent.append(sent)
        while not (answer := await self._send(sent)).accepted:
            await asyncio.sleep(_PAUSE_SECONDS)
        return answer

    async def _send(self, sent: Sent) -> Answer:
        command = sent.command
        headers = {"Idempotency-Key": command.key, "X-Request-ID": command.key}
        began = monotonic()
        try:
            response = await self.client.request(
                command.method, command.path, json=command.body, headers=headers
            )
        except httpx2.TransportError:
            answer = Answer(status=0, seconds=monotonic() - began)
        else:
            answer = _answer(command, response, monotonic() - began)
        sent.answers.append(answer)
        return answer


def client_of(url: str, token: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        base_url=url,
        headers={"Authorization": f"Bearer {token}"},
        timeout=REQUEST_SECONDS,
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None),
        trust_env=False,
    )


def unaccepted(sent: Iterable[Sent]) -> list[Sent]:
    """The commands that no answer has accepted."""
    return [one for one in sent if one.accepted is None]


def registration(key: str, email: str | None = None) -> Command:
    body: Json = {
        "name": f"Åsa {key}",
        "email": email or f"{key}@example.com",
        "attributes": {"team": "maps"},
    }
    return Command(method="POST", path="/v1/users", body=body, key=key, causes=("user.registered",))


def _registration() -> Command:
    return registration(uuid4().hex)


def _user_commands(user: str, shared: str | None) -> Sequence[Command]:
    """The commands after a registration; they delete two users in three at the end."""
    name = uuid4().hex
    steps = [
        _change(
            user,
            {"name": name, "attributes": {"team": None, "n": 1}},
            "renamed",
            "attributes_changed",
        ),
        _change(f"{shared}", {"attributes": {name[0]: name}}, "attributes_changed"),
        _step(user, "POST", "/suspend", "suspended"),
        _change(
            user, {"email": f"{name}@example.org", "role": "owner"}, "email_changed", "role_changed"
        ),
        _step(user, "POST", "/reinstate", "reinstated"),
    ]
    if random.random() < 2 / 3:
        steps.append(_step(user, "DELETE", "", "deleted"))
    return steps


def _change(user: str, body: Json, *events: str) -> Command:
    return _step(user, "PATCH", "", *events, body=body)


def _step(user: str, method: str, action: str, *events: str, body: Json | None = None) -> Command:
    return Command(
        method=method,
        path=f"/v1/users/{user}{action}",
        body=body,
        key=uuid4().hex,
        causes=tuple(f"user.{event}" for event in events),
    )


def _answer(command: Command, response: httpx2.Response, seconds: float) -> Answer:
    body: Json = response.json() if response.content else {}
    if not response.is_success:
        slug = str(body["type"]).rpartition("/")[2]
        return Answer(status=response.status_code, seconds=seconds, slug=slug)
    return Answer(
        status=response.status_code,
        seconds=seconds,
        user=body.get("id") or command.path.split("/")[3],
        version=body.get("version"),
        position=int(response.headers["Rollbook-Position"]),
        replayed=response.headers.get("Idempotency-Replayed") == "true",
    )
