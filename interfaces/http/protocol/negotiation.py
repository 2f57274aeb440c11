"""Content negotiation: formats by Accept, compression by Accept-Encoding."""

import asyncio
import gzip
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from fastapi import Request, Response

from interfaces.http.protocol.headers import MAX_LIST_LENGTH, header
from interfaces.http.protocol.refusals import MalformedRequest, NotAcceptable

# Smaller answers fit into one or two packets without compression.
_MIN_BYTES: Final = 1000
# Compressing larger ones would block the event loop.
_THREAD_BYTES: Final = 64 * 1024
_LEVEL: Final = 5


def refuse_unacceptable(request: Request, formats: Sequence[str]) -> None:
    """Raises `NotAcceptable` if Accept rules out all these formats, `MalformedRequest` if too long."""
    accept = header(request, "Accept")
    if not accept or accept == "*/*" or accept in formats or not formats:
        return
    if len(accept) > MAX_LIST_LENGTH:
        raise MalformedRequest(f"Accept must have at most {MAX_LIST_LENGTH:,} characters.")
    weights = dict(_weighted(accept))
    if not any(_is_accepted(each, weights) for each in formats):
        raise NotAcceptable(formats)


def names_html(request: Request) -> bool:
    """Whether the client names HTML among what it accepts, as browsers do."""
    accept = header(request, "Accept") or ""
    return len(accept) <= MAX_LIST_LENGTH and dict(_weighted(accept)).get("text/html", 0) > 0


async def compressible(
    request: Request, content: bytes, headers: Mapping[str, str], media_type: str
) -> Response:
    """An answer that is compressed if the client accepts gzip.

    For lists and static files only: the length of a compressed answer leaks a secret in it, if an
    attacker can repeat the request.
    """
    headers = {**headers, "Vary": "Accept-Encoding"}
    if len(content) >= _MIN_BYTES and _accepts_gzip(request):
        headers["Content-Encoding"] = "gzip"
        if len(content) >= _THREAD_BYTES:
            content = await asyncio.to_thread(gzip.compress, content, _LEVEL)
        else:
            content = gzip.compress(content, _LEVEL)
    return Response(content, headers=headers, media_type=media_type)


def _is_accepted(media_type: str, weights: Mapping[str, float]) -> bool:
    """The more exact a range is, the more its weight counts (RFC 9110, section 12.5.1)."""
    ranges = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    return next((weights[each] > 0 for each in ranges if each in weights), False)


def _accepts_gzip(request: Request) -> bool:
    accepted = header(request, "Accept-Encoding")
    if accepted is None or len(accepted) > MAX_LIST_LENGTH:
        return False
    weights = dict(_weighted(accepted))
    return weights.get("gzip", weights.get("*", 0)) > 0


def _weighted(raw: str) -> Iterator[tuple[str, float]]:
    """Each element with its weight; an invalid weight counts as refused."""
    for element in raw.split(","):
        name, *parameters = (part.strip().lower() for part in element.split(";"))
        weight = next((p.removeprefix("q=") for p in parameters if p.startswith("q=")), "1")
        try:
            yield name, float(weight)
        except ValueError:
            yield name, 0.0
