"""Entity tags and the headers that compare them (RFC 9110, section 13)."""

import re
from collections.abc import Iterable
from typing import Final

from fastapi import Request

from application.users.commands import IfMatch
from interfaces.http.protocol.headers import header
from interfaces.http.protocol.refusals import MalformedRequest

IF_MATCH: Final = "If-Match"
IF_NONE_MATCH: Final = "If-None-Match"

_MAX_TAGS: Final = 200
_TAG: Final = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
# A list may have empty elements (RFC 9110, section 5.6.1).
_LIST: Final = re.compile(rf"[ \t,]*{_TAG}[ \t]*(?:,[ \t]*(?:{_TAG}[ \t]*)?)*")
_EACH: Final = re.compile(_TAG)
_OWN: Final = re.compile(r'"([1-9][0-9]{0,17})"')


def etag(version: int) -> str:
    return f'"{version}"'


def precondition(request: Request) -> IfMatch | None:
    """The versions that a command may be applied to; other servers' tags match none of them.

    A weak tag never matches in If-Match; in If-None-Match it matches like a strong one.
    """
    only, unless = _tags(request, IF_MATCH), _tags(request, IF_NONE_MATCH)
    if only is None and unless is None:
        return None
    return IfMatch(
        None if only is None else _versions(only),
        frozenset() if unless is None else _versions(tag.removeprefix("W/") for tag in unless),
    )


def is_known(request: Request, version: int) -> bool:
    """Whether If-None-Match names this version, or any: the answer is then 304."""
    tags = _tags(request, IF_NONE_MATCH)
    if tags is None:
        return False
    return tags == ["*"] or etag(version) in (tag.removeprefix("W/") for tag in tags)


def _versions(tags: Iterable[str]) -> frozenset[int] | None:
    """None if the tags stand for any version."""
    tags = list(tags)
    if tags == ["*"]:
        return None
    own = (_OWN.fullmatch(tag) for tag in tags)
    return frozenset(int(tag[1]) for tag in own if tag)


def _tags(request: Request, name: str) -> list[str] | None:
    raw = header(request, name)
    if raw is None:
        return None
    if raw.strip() == "*":
        return ["*"]
    if raw.count('"') > 2 * _MAX_TAGS:
        raise MalformedRequest(f"{name} must have at most {_MAX_TAGS} entity tags.")
    # Many empty elements would take as long as many tags.
    if raw.count(",") > 2 * _MAX_TAGS or _LIST.fullmatch(raw) is None:
        raise MalformedRequest(f'{name} must be * or a list of entity tags such as "3".')
    return _EACH.findall(raw)
