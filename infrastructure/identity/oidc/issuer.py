"""What the issuer publishes, kept in memory: a request waits for the issuer only for new keys."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import Final, Self

import httpx2
import structlog
from msgspec import Struct

from application.access.oidc import IssuerUnavailable
from application.failures import describe
from infrastructure.identity.oidc.keys import PublicKey, fitting, parse_keys
from infrastructure.identity.oidc.metadata import Metadata, discovery_url, parse_metadata
from infrastructure.identity.oidc.requests import SECONDS, IssuerFault, Transport, client, fetch

REFRESH_SECONDS: Final = 600.0
# Between two looks for unknown keys: a flood of forged tokens is no flood of requests to the issuer.
PAUSE_SECONDS: Final = 30.0
# After a failure, when nothing is known about the unknown key.
FAILURE_PAUSE_SECONDS: Final = 5.0

FAILURES: Final = (IssuerFault, httpx2.HTTPError, httpx2.InvalidURL, TimeoutError)

_NEVER: Final = float("-inf")

log = structlog.stdlib.get_logger(__name__)


class Published(Struct, frozen=True):
    metadata: Metadata
    keys: Sequence[PublicKey]
    # As they were sent, to see whether they changed.
    key_set: bytes


async def load(requests: httpx2.AsyncClient, url: str, seconds: float = SECONDS) -> Published:
    """Ask the issuer. Raises one of `FAILURES`."""
    async with asyncio.timeout(seconds):
        metadata = parse_metadata(await fetch(requests, discovery_url(url)), url)
        key_set = await fetch(requests, metadata.jwks_uri)
        # In a thread, because a hundred keys take milliseconds.
        return Published(metadata, await asyncio.to_thread(parse_keys, key_set), key_set)


def reason_of(error: Exception) -> str:
    """Why it failed, without an address: the words of a library may hold one."""
    return str(error) if isinstance(error, IssuerFault) else describe(error)


class Issuer:
    """Loads the metadata and the keys together at first need, and again while they are used.

    What is known stays in use while the issuer is away.
    """

    def __init__(
        self,
        url: str,
        requests: httpx2.AsyncClient,
        clock: Callable[[], float] = monotonic,
        seconds: float = SECONDS,
    ) -> None:
        self.url = url
        self._requests = requests
        self._clock = clock
        self._seconds = seconds
        self._published: Published | None = None
        self._loading: asyncio.Task[Published | None] | None = None
        self._loaded_at = self._failed_at = self._sought_at = _NEVER
        self._is_failing = False

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        url: str,
        transport: Transport,
        clock: Callable[[], float] = monotonic,
        seconds: float = SECONDS,
    ) -> AsyncGenerator[Self]:
        """`clock` is monotonic; a request waits `seconds` for the issuer at most."""
        async with client(transport) as requests:
            issuer = cls(url, requests, clock, seconds)
            try:
                yield issuer
            finally:
                if issuer._loading is not None:
                    issuer._loading.cancel()

    def known_keys(self) -> Sequence[PublicKey] | None:
        """Another object once they have changed. If they are old, the issuer is asked meanwhile."""
        if self._published is None:
            return None
        if self._clock() - self._loaded_at > REFRESH_SECONDS and not self._pauses():
            self._begin()
        return self._published.keys

    async def metadata(self) -> Metadata:
        """Raises `IssuerUnavailable`."""
        return (self._published or await self._load()).metadata

    async def key(self, algorithm: str, key_id: str | None) -> PublicKey | None:
        """The one key that may have made such a signature; None if there is none, or several.

        Raises `IssuerUnavailable` if the issuer cannot be asked about a key that is not known.
        """
        keys = self.known_keys()
        if keys is None:
            return _only(fitting((await self._load()).keys, algorithm, key_id))
        if found := fitting(keys, algorithm, key_id):
            return _only(found)
        if self._loading is None:
            if self._clock() - self._sought_at < PAUSE_SECONDS:
                return None
            self._sought_at = self._clock()
        try:
            published = await self._load()
        except IssuerUnavailable:
            self._sought_at = _NEVER
            raise
        return _only(fitting(published.keys, algorithm, key_id))

    async def _load(self) -> Published:
        """What is loaded now; callers at the same time share it."""
        if self._loading is None and self._pauses():
            raise IssuerUnavailable
        # Shielded: if one caller leaves, the others still wait for it.
        published = await asyncio.shield(self._loading or self._begin())
        if published is None:
            raise IssuerUnavailable
        return published

    def _pauses(self) -> bool:
        return self._clock() - self._failed_at < FAILURE_PAUSE_SECONDS

    def _begin(self) -> "asyncio.Task[Published | None]":
        if self._loading is None:
            self._loading = asyncio.create_task(self._loaded())
        return self._loading

    async def _loaded(self) -> Published | None:
        """None if it failed, which is logged: nobody may wait for it."""
        try:
            published = await load(self._requests, self.url, self._seconds)
        except FAILURES as error:
            self._failed_at = self._clock()
            if not self._is_failing:
                self._is_failing = True
                log.warning("oidc_issuer_unavailable", reason=reason_of(error))
            return None
        finally:
            self._loading = None
        if self._is_failing:
            self._is_failing = False
            log.info("oidc_issuer_available")
        known = self._published
        if known is not None and known.key_set == published.key_set:
            published = Published(published.metadata, known.keys, known.key_set)
        self._published, self._loaded_at = published, self._clock()
        return published


def _only(keys: Sequence[PublicKey]) -> PublicKey | None:
    return keys[0] if len(keys) == 1 else None
