"""What the client takes: formats by Accept, compression by Accept-Encoding."""

import asyncio
import gzip
from collections.abc import Iterator, Mapping
from typing import Final

from fastapi import Request, Response

from interfaces.http.headers import header
from interfaces.http.refusals import NotAcceptable

# Smaller answers fit a packet or two anyway; larger ones would hold up the event loop.
_WORTH_IT: Final = 1000
_IN_A_THREAD: Final = 64 * 1024
_LEVEL: Final = 5


def refuse_unacceptable(request: Request) -> None:
    """Raises `NotAcceptable` where Accept rules application/json out."""
    accept = header(request, "Accept")
    if accept in (None, "*/*", "application/json"):
        return
    # The more exact a range is, the more its weight counts (RFC 9110, section 12.5.1).
    weights = dict(_weighted(accept))
    for media_range in ("application/json", "application/*", "*/*"):
        if media_range in weights:
            if weights[media_range] == 0:
                break
            return
    raise NotAcceptable


async def compressible(
    request: Request, content: bytes, headers: Mapping[str, str], media_type: str
) -> Response:
    """An answer that is compressed for who takes gzip.

    For lists and static files only: beside a secret that an attacker can make us repeat, the
    length of a compressed answer would tell about it.
    """
    headers = {**headers, "Vary": "Accept-Encoding"}
    if len(content) >= _WORTH_IT and _takes_gzip(request):
        headers["Content-Encoding"] = "gzip"
        if len(content) >= _IN_A_THREAD:
            content = await asyncio.to_thread(gzip.compress, content, _LEVEL)
        else:
            content = gzip.compress(content, _LEVEL)
    return Response(content, headers=headers, media_type=media_type)


def _takes_gzip(request: Request) -> bool:
    accepted = header(request, "Accept-Encoding")
    if accepted is None:
        return False
    weights = dict(_weighted(accepted))
    return weights.get("gzip", weights.get("*", 0)) > 0


def _weighted(raw: str) -> Iterator[tuple[str, float]]:
    """Each element with its weight; one that is not understood counts as refused."""
    for element in raw.split(","):
        name, *parameters = (part.strip().lower() for part in element.split(";"))
        weight = next((p.removeprefix("q=") for p in parameters if p.startswith("q=")), "1")
        try:
            yield name, float(weight)
        except ValueError:
            yield name, 0.0
