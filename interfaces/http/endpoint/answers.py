"""The answers that most operations give: one resource, a list, and what a command led to."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from fastapi import Response
from msgspec import Raw, Struct
from msgspec.structs import replace

from application.turns import in_slices
from interfaces.http.endpoint.call import Call
from interfaces.http.protocol.body import JSON
from interfaces.http.protocol.consistency import POSITION
from interfaces.http.protocol.idempotency import IDEMPOTENCY_REPLAYED
from interfaces.http.protocol.negotiation import compressible


def resource(
    body: Struct | Mapping[str, Any] | bytes,
    position: int,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """One resource, which is never compressed: see `compressible`."""
    headers = {POSITION: str(position), **(headers or {})}
    return Response(_encoded(body), status, headers, JSON)


async def resource_list(call: Call[Any, Any], page: Struct | bytes, position: int) -> Response:
    """A list, or another answer with the values of many events."""
    items: Sequence[Any] | None = getattr(page, "items", None)
    if isinstance(page, Struct) and items is not None:
        encoded = await in_slices(items, lambda item: Raw(msgspec.json.encode(item)))
        page = replace(page, items=encoded)
    return await compressible(call.request, _encoded(page), {POSITION: str(position)}, JSON)


def replayed(is_replayed: bool) -> dict[str, str]:
    """The header of an answer that repeats the first."""
    return {IDEMPOTENCY_REPLAYED: "true"} if is_replayed else {}


def _encoded(body: Struct | Mapping[str, Any] | bytes) -> bytes:
    return body if isinstance(body, bytes) else msgspec.json.encode(body)
