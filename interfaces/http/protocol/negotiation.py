"""What the client takes: formats by Accept, compression by Accept-Encoding."""

import asyncio
import gzip
from collections.abc import Iterator, Mapping
from typing import Final

from fastapi import Request, Response

from interfaces.http.protocol.headers import header
from interfaces.http.protocol.refusals import NotAcceptable

# Smaller answers fit a packet or two anyway; larger ones would hold up the event loop.
_WORTH_IT: Final = 1000
_IN_A_THREAD: Final = 64 * 1024
_LEVEL: Final = 5
_JSON: Final = ("application/json",)


def refuse_unacceptable(request: Request, *formats: str) -> None:
    """Raises `NotAcceptable` where Accept rules all these out; application/json if none is given."""
    accept = header(request, "Accept")
    if not accept or accept == "*/*" or (accept == "application/json" and not formats):
        return
    weights = dict(_weighted(accept))
    if not any(_is_taken(each, weights) for each in formats or _JSON):
        raise NotAcceptable(formats or _JSON)


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


def _is_taken(media_type: str, weights: Mapping[str, float]) -> bool:
    """The more exact a range is, the more its weight counts (RFC 9110, section 12.5.1)."""
    ranges = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    return next((weights[each] > 0 for each in ranges if each in weights), False)


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
