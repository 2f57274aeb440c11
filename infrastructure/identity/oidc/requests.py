"""Requests to the issuer: in bounded time and size, without redirects and without a proxy."""

import ssl
from collections.abc import AsyncIterator, Callable
from typing import Final

import httpx2

from application.access.oidc import is_safe_address

MAX_BYTES: Final = 256 * 1024
# For everything that one caller waits for, so that the caller has its answer within 5 s.
SECONDS: Final = 4.5

_OK: Final = 200
_IDENTITY: Final = "identity"
HEADERS: Final = {"User-Agent": "Rollbook", "Accept-Encoding": _IDENTITY}

Transport = Callable[[], httpx2.AsyncBaseTransport]


class IssuerFault(Exception):
    """The issuer answered, but not as it should; the message says how, and holds no address."""


def transport() -> Transport:
    """Makes transports that read `MAX_BYTES` of an answer and trust the system's certificates."""
    context = ssl.create_default_context()
    return lambda: _LimitedTransport(httpx2.AsyncHTTPTransport(verify=context, trust_env=False))


def client(transport: Transport) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        transport=transport(), timeout=SECONDS, headers=HEADERS, trust_env=False
    )


async def fetch(requests: httpx2.AsyncClient, url: str) -> bytes:
    """The document at this URL. Raises `IssuerFault` and `httpx2.HTTPError`."""
    if not is_safe_address(url):
        raise IssuerFault("an address in the discovery document is not https")
    answer = await requests.get(url, headers={"Accept": "application/json"})
    if answer.status_code != _OK:
        raise IssuerFault(f"it answered with the status {answer.status_code}")
    return answer.content


class _LimitedTransport(httpx2.AsyncBaseTransport):
    """Refuses answers that are too large, or compressed: these could become far larger."""

    def __init__(self, inner: httpx2.AsyncHTTPTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        if response.headers.get("content-encoding", _IDENTITY) != _IDENTITY:
            await response.aclose()
            raise IssuerFault("its answer is compressed")
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _LimitedStream(response.stream)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _LimitedStream(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = MAX_BYTES
        async for piece in self._inner:
            left -= len(piece)
            if left < 0:
                raise IssuerFault(f"its answer is larger than {MAX_BYTES // 1024} KiB")
            yield piece

    async def aclose(self) -> None:
        await self._inner.aclose()
