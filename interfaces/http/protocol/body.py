"""Reading a body: its size and type first, then its syntax, then its fields."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import Request
from starlette.requests import ClientDisconnect

from interfaces.http.protocol.headers import MAX_LIST_LENGTH, header
from interfaces.http.protocol.refusals import MalformedRequest, TooLarge, UnsupportedMediaType
from interfaces.strict_json import BadJson, parse_json

MAX_BODY_BYTES: Final = 1024 * 1024
# No body within the other limits has more: attributes with 16 KiB of such characters, a patch that
# also removes as many others, and the remaining fields.
MAX_STRUCTURE: Final = 24 * 1024
JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"

_STRUCTURE: Final = b",:[]{}\\"
_TOO_MANY: Final = (
    f"The body has more than {MAX_STRUCTURE:,} commas, colons, brackets and backslashes."
)


async def read_body(request: Request, accepted: Sequence[str], *, required: bool) -> bytes:
    """The body as received; raises `TooLarge`, `UnsupportedMediaType` or `MalformedRequest`.

    If none is required, the Content-Type of an empty body is ignored: many clients send one.
    """
    declared = header(request, "Content-Length")
    if declared is not None and declared.isdecimal() and int(declared[:20]) > MAX_BODY_BYTES:
        raise TooLarge
    body = await _received(request, accepted)
    if body or (required and header(request, "Content-Type") is not None):
        _refuse_foreign_type(request, accepted)
    return body


def parse_body(body: bytes, *, required: bool) -> Any:
    """The JSON value of a body; an empty object if there is none and none is required."""
    if body:
        try:
            return parse_json(body)
        except BadJson as error:
            raise MalformedRequest(str(error)) from None
    if required:
        raise MalformedRequest("A body is needed.")
    return {}


async def _received(request: Request, accepted: Sequence[str]) -> bytes:
    """Count the bytes while they arrive: a chunked body does not declare its length.

    Also count the characters that decoding and checking take time for, before that time is spent.
    """
    chunks: list[bytes] = []
    size = structure = 0
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise TooLarge
        structure += len(chunk) - len(chunk.translate(None, _STRUCTURE))
        if structure > MAX_STRUCTURE:
            _refuse_foreign_type(request, accepted)
            raise MalformedRequest(_TOO_MANY)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _refuse_foreign_type(request: Request, accepted: Sequence[str]) -> None:
    content_type = header(request, "Content-Type") or ""
    if len(content_type) > MAX_LIST_LENGTH:
        raise UnsupportedMediaType(accepted)
    media_type, parameters = _media_type(content_type)
    encoded = (header(request, "Content-Encoding") or "identity").lower() != "identity"
    charset = parameters.get("charset", "utf-8").lower()
    if media_type not in accepted or charset not in ("utf-8", "utf8") or encoded:
        raise UnsupportedMediaType(accepted)


def _media_type(raw: str) -> tuple[str, Mapping[str, str]]:
    media_type, *rest = raw.split(";")
    parameters = (parameter.partition("=") for parameter in rest)
    return media_type.strip().lower(), {
        name.strip().lower(): value.strip().strip('"') for name, _, value in parameters
    }
