"""Finds the caller of a request in memory, and checks each second that it is still valid.

A request costs no round trip. A revoked or expired credential is refused by every process within
`FRESH_SECONDS` + 1: one statement a second checks all that were used within a minute, and what could
not be checked for that long is looked up again, which fails while the database is away.
"""

import asyncio
import hashlib
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Generator, Iterable, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import Final, NoReturn

from msgspec import Struct

from application.access.ports import BearerVerifier, CredentialSource, FixedToken, Presented
from application.errors import Unavailable
from application.identity import Principal
from application.retry import BackOff

FRESH_SECONDS: Final = 4.0
_CHECK_SECONDS: Final = 1.0
_IN_USE_SECONDS: Final = 60.0
_REPORT_SECONDS: Final = 60.0
_STREAM_CHECK_SECONDS: Final = 2.0
_MAX_KNOWN: Final = 20_000


class _Known(Struct):
    """A credential that was valid at `checked_at`; times are monotonic, in seconds."""

    principal: Principal
    checked_at: float
    used_at: float
    reported_at: float = -math.inf


class Callers:
    """The callers that this process knows. `tokens` and `sessions` store theirs."""

    def __init__(
        self,
        *,
        fixed: FixedToken,
        tokens: CredentialSource,
        sessions: CredentialSource,
        jwts: BearerVerifier | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._fixed = fixed
        self._sources: Mapping[str, CredentialSource] = {"token": tokens, "session": sessions}
        self._jwts = jwts
        self._clock = clock
        # By a digest, so that no secret stays in memory.
        self._presented: dict[bytes, str] = {}
        self._known: dict[str, _Known] = {}
        self._finding: dict[str, asyncio.Task[Principal | None]] = {}
        self._watched = Counter[str]()

    def known(self, presented: Presented) -> Principal | None:
        """The caller, if it was checked a moment ago. No I/O."""
        if presented.kind == "bearer":
            fixed = self._fixed.principal(presented.secret)
            if fixed is not None:
                return fixed
        credential = self._presented.get(_digest(presented))
        if credential is not None:
            return self._fresh(credential, used=True)
        if presented.kind == "bearer" and self._jwts is not None:
            return self._jwts.known(presented.secret)
        return None

    async def of(self, presented: Presented) -> Principal | None:
        """The caller; None if it is unknown, revoked or expired. Raises `Unavailable`."""
        known = self.known(presented)
        if known is not None:
            return known
        if presented.kind == "bearer":
            source = self._sources["token"]
            credential = source.credential(presented.secret)
            if credential is None and self._jwts is not None:
                return await self._jwts.principal(presented.secret)
        else:
            credential = self._sources["session"].credential(presented.secret)
        if credential is None:
            return None
        principal = await self._found(credential)
        if principal is not None:
            self._presented[_digest(presented)] = credential
            self._fresh(credential, used=True)
        return principal

    async def is_valid(self, principal: Principal) -> bool:
        """Whether the caller would still be admitted. Raises `Unavailable`."""
        if principal.credential is None:
            expires_at = principal.expires_at
            return expires_at is None or datetime.now(UTC) < expires_at
        fresh = self._fresh(principal.credential, used=False)
        return fresh is not None or await self._found(principal.credential) is not None

    def forget(self, credential: str) -> None:
        """Refuse a credential that has just ended; other processes notice within seconds."""
        self._known.pop(credential, None)

    async def until_ended(self, principal: Principal) -> None:
        """Wait until the caller is revoked or expires: its streams then end.

        While the database is away nothing is decided; a stream has no events then either.
        """
        with self._watching(principal.credential):
            back_off = BackOff("callers of streams")
            while True:
                try:
                    if not await self.is_valid(principal):
                        return
                except Unavailable as error:
                    await back_off.wait(error)
                else:
                    back_off.reset()
                    await asyncio.sleep(_STREAM_CHECK_SECONDS)

    async def run(self) -> None:
        """Check what is in use each second, and report it each minute; cancel it to stop.

        A report may wait for the log, so it is apart: checks go on.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_each_second("access checks", self.check))
            tasks.create_task(_each_second("access reports", self.report))

    def _fresh(self, credential: str, *, used: bool) -> Principal | None:
        known = self._known.get(credential)
        now = self._clock()
        if known is None or now - known.checked_at > FRESH_SECONDS:
            return None
        if used:
            known.used_at = now
        return known.principal

    async def _found(self, credential: str) -> Principal | None:
        """Look the credential up, once for all requests that wait for it."""
        task = self._finding.get(credential)
        if task is None:
            task = asyncio.create_task(self._find_one(credential))
            self._finding[credential] = task
            task.add_done_callback(partial(self._end_search, credential))
        # A request that ends must not end the search for the others.
        return await asyncio.shield(task)

    def _end_search(self, credential: str, task: asyncio.Task[Principal | None]) -> None:
        del self._finding[credential]
        if not task.cancelled():
            # It is nobody's if all requests that waited have ended.
            task.exception()

    async def _find_one(self, credential: str) -> Principal | None:
        began = self._clock()
        found = await self._find([credential])
        self._keep([credential], found, began)
        return found.get(credential)

    async def _find(self, credentials: Collection[str]) -> dict[str, Principal]:
        """Those that are valid, and whose parents are."""
        found = dict[str, Principal]()
        for kind, some in _by_source(credentials).items():
            found |= await self._sources[kind].find(some)
        parents = {each.parent for each in found.values() if each.parent is not None}
        if parents:
            living = await self._find(parents)
            found = {
                credential: principal
                for credential, principal in found.items()
                if principal.parent is None or principal.parent in living
            }
        return found

    def _keep(
        self, credentials: Iterable[str], found: Mapping[str, Principal], checked_at: float
    ) -> None:
        for credential in credentials:
            principal, known = found.get(credential), self._known.get(credential)
            if principal is None:
                self._known.pop(credential, None)
            elif known is None:
                self._make_room()
                self._known[credential] = _Known(principal, checked_at, checked_at)
            else:
                known.principal = principal
                known.checked_at = max(known.checked_at, checked_at)

    def _make_room(self) -> None:
        if len(self._known) >= _MAX_KNOWN:
            del self._known[next(iter(self._known))]
        if len(self._presented) >= 2 * _MAX_KNOWN:
            self._presented.clear()

    async def check(self) -> None:
        """Find again all credentials in use. Raises `Unavailable`."""
        began = self._clock()
        for credential, known in list(self._known.items()):
            if began - known.used_at > _IN_USE_SECONDS and credential not in self._watched:
                del self._known[credential]
        checked = {*self._known, *self._watched}
        if checked:
            self._keep(checked, await self._find(checked), began)

    async def report(self) -> None:
        """Tell the sources what was used since the last report. Raises `Unavailable`."""
        now = self._clock()
        due = [
            credential
            for credential, known in self._known.items()
            if known.used_at > known.reported_at and now - known.reported_at >= _REPORT_SECONDS
        ]
        for kind, some in _by_source(due).items():
            await self._sources[kind].used(some)
            for credential in some:
                if (known := self._known.get(credential)) is not None:
                    known.reported_at = now

    @contextmanager
    def _watching(self, credential: str | None) -> Generator[None]:
        """Keep checking the credential of a stream, also if no request presents it."""
        if credential is None:
            yield
            return
        self._watched[credential] += 1
        try:
            yield
        finally:
            self._watched[credential] -= 1
            if not self._watched[credential]:
                del self._watched[credential]


async def _each_second(name: str, work: Callable[[], Awaitable[None]]) -> NoReturn:
    back_off = BackOff(name)
    while True:
        await asyncio.sleep(_CHECK_SECONDS)
        try:
            await work()
        except Exception as error:
            await back_off.wait(error)
        else:
            back_off.reset()


def _by_source(credentials: Iterable[str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for credential in credentials:
        grouped.setdefault(credential.partition(":")[0], []).append(credential)
    return grouped


def _digest(presented: Presented) -> bytes:
    return hashlib.sha256(f"{presented.kind}\x00{presented.secret}".encode()).digest()
