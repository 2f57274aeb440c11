"""Answers to what is no request: problems with the common headers, as everywhere."""

from importlib.metadata import version
from typing import Final

from msgspec import Struct
from uuid_utils.compat import uuid7

from interfaces.http.endpoint.errors import problem
from interfaces.http.endpoint.middleware import common_headers
from interfaces.http.protocol.problems import Slug

_COMMON: Final = common_headers(version("rollbook"))


class Refusal(Struct, frozen=True):
    """An answer that the application does not see; the connection is closed after it."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def refusal(slug: Slug, detail: str) -> Refusal:
    answer = problem(slug, detail)
    headers = [
        *answer.raw_headers,
        (b"x-request-id", str(uuid7()).encode()),
        *_COMMON.items(),
        (b"connection", b"close"),
    ]
    return Refusal(answer.status_code, headers, bytes(answer.body))
