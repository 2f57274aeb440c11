"""Connections of outgoing requests: the address that was checked is the address that is dialled."""

import asyncio
import ssl
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

from httpcore2 import (
    AnyIOBackend,
    AsyncNetworkBackend,
    AsyncNetworkStream,
    ConnectError,
    ConnectTimeout,
)

from application.webhooks.delivery_ports import TargetRefused
from application.webhooks.targets import check_address, is_address
from infrastructure.webhooks.resolver import Resolve

MAX_ANSWER_BYTES: Final = 64 * 1024
# The parser takes a piece at once; a small one keeps the event loop free for everything else.
_PIECE_BYTES: Final = 4096
# If a name has several addresses, one that does not answer must leave time for the next one.
_CONNECT_SECONDS: Final = 3.0


class AnswerTooLarge(Exception):
    """The answer has more bytes than are read."""


async def checked_addresses(host: str, resolve: Resolve, *, allow_unsafe: bool) -> Sequence[str]:
    """All addresses of a host, if each of them is allowed. Raises `TargetRefused`."""
    if is_address(host):
        check_address(host, allow_unsafe=allow_unsafe)
        return [host]
    addresses: Sequence[str] = ()
    with suppress(OSError):
        addresses = await resolve(host)
    if not addresses:
        raise TargetRefused("name-not-found", "The name of the host has no address.")
    for address in addresses:
        check_address(address, allow_unsafe=allow_unsafe)
    return addresses


class CheckedNetwork(AsyncNetworkBackend):
    """Resolves each name once per connection, checks all addresses and dials one of them."""

    def __init__(self, resolve: Resolve, *, allow_unsafe: bool) -> None:
        self._resolve = resolve
        self._allow_unsafe = allow_unsafe
        self._network = AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # the signature is the library's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> AsyncNetworkStream:
        addresses = await checked_addresses(host, self._resolve, allow_unsafe=self._allow_unsafe)
        for address in addresses[:-1]:
            try:
                stream = await self._network.connect_tcp(
                    address, port, _CONNECT_SECONDS, local_address, socket_options
                )
            except (ConnectError, ConnectTimeout):
                continue
            return _LimitedStream(stream)
        return _LimitedStream(
            await self._network.connect_tcp(
                addresses[-1], port, timeout, local_address, socket_options
            )
        )

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _LimitedStream(AsyncNetworkStream):
    """Reads up to `MAX_ANSWER_BYTES` after each request, headers included."""

    def __init__(self, stream: AsyncNetworkStream) -> None:
        self._stream = stream
        self._left = MAX_ANSWER_BYTES

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        if self._left <= 0:
            raise AnswerTooLarge
        piece = await self._stream.read(min(max_bytes, _PIECE_BYTES, self._left), timeout)
        self._left -= len(piece)
        return piece

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        self._left = MAX_ANSWER_BYTES
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> AsyncNetworkStream:
        return _LimitedStream(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
