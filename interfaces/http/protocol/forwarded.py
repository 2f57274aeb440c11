"""What trusted proxies say about a request: `Forwarded` (RFC 7239) and `X-Forwarded-…`.

Each proxy adds the address of its own client at the end of a list. So the list is read from its end:
the first address that is no trusted proxy is the client's, and everything before it is the
client's own claim.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final

from msgspec import Struct

Networks = Sequence[IPv4Network | IPv6Network]
Headers = Sequence[tuple[bytes, bytes]]
IsTrusted = Callable[[str], bool]

_SCHEMES: Final = ("http", "https")
_HOST: Final = re.compile(
    r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?", re.ASCII
)
_NODE: Final = re.compile(r"(?:\[([^\]]+)\]|([\d.]+))(?::\d{1,5})?", re.ASCII)
_NAME: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PAIR: Final = re.compile(rf'({_NAME})=(?:({_NAME})|"((?:[^"\\]|\\.)*)")')
_ESCAPED: Final = re.compile(r"\\(.)")


class Forwarded(Struct, frozen=True):
    """The client's address, its scheme (`http` or `https`) and the host that it asked for.

    None: the proxies do not say, or what they say is malformed.
    """

    client: str | None = None
    scheme: str | None = None
    host: str | None = None


def forwarded(headers: Headers, is_trusted: IsTrusted) -> Forwarded:
    """What the headers of a trusted proxy say.

    A proxy that writes one kind of header often passes the other kind on as the client sent it. So
    if both kinds are there, only what both say counts.
    """
    lines: dict[bytes, list[str]] = {}
    for name, value in headers:
        if name == b"forwarded" or name.startswith(b"x-forwarded-"):
            lines.setdefault(name, []).append(value.decode("latin-1"))
    standard = lines.pop(b"forwarded", None)
    if standard is None:
        return _from_x(lines, is_trusted)
    found = _from_standard(standard, is_trusted)
    if not lines:
        return found
    other = _from_x(lines, is_trusted)
    return Forwarded(
        *(
            one if one == another else None
            for one, another in (
                (found.client, other.client),
                (found.scheme, other.scheme),
                (found.host, other.host),
            )
        )
    )


def _from_x(lines: Mapping[bytes, Sequence[str]], is_trusted: IsTrusted) -> Forwarded:
    """Scheme and host are those that the nearest proxy has written: the last of each list."""
    nodes = (node for line in reversed(lines.get(b"x-forwarded-for", ())) for node in _items(line))
    client: str | None = None
    for node in nodes:
        client = _address(node)
        if client is None or not is_trusted(client):
            break
    return Forwarded(
        client,
        _scheme(_last(lines.get(b"x-forwarded-proto"))),
        _host(_last(lines.get(b"x-forwarded-host"))),
    )


def _from_standard(lines: Sequence[str], is_trusted: IsTrusted) -> Forwarded:
    """The element whose `for` is the client's address, with its `proto` and `host`."""
    found = Forwarded()
    for line in reversed(lines):
        elements = _elements(line)
        if elements is None:
            return Forwarded()
        for element in reversed(elements):
            client = _address(element.get("for", ""))
            if client is None:
                return Forwarded()
            found = Forwarded(client, _scheme(element.get("proto")), _host(element.get("host")))
            if not is_trusted(client):
                return found
    return found


def _items(line: str) -> Iterable[str]:
    """The items of a comma-separated list, the last one first."""
    return (item.strip() for item in reversed(line.split(",")))


def _last(lines: Sequence[str] | None) -> str | None:
    return next(iter(_items(lines[-1]))) if lines else None


def _elements(line: str) -> list[dict[str, str]] | None:
    """The elements of a `Forwarded` header; None if it is malformed (RFC 7239, section 4)."""
    elements: list[dict[str, str]] = [{}]
    place = 0
    while True:
        pair = _PAIR.match(line, place)
        if pair is None:
            return None
        name, token, quoted = pair.groups()
        if name.lower() in elements[-1]:
            return None
        elements[-1][name.lower()] = token if quoted is None else _ESCAPED.sub(r"\1", quoted)
        rest = line[pair.end() :].lstrip(" \t")
        if not rest:
            return elements
        if rest[0] == ",":
            elements.append({})
        elif rest[0] != ";":
            return None
        place = len(line) - len(rest[1:].lstrip(" \t"))


def _address(node: str) -> str | None:
    """The address of a node, with or without a port; None for a name or anything else."""
    match = _NODE.fullmatch(node)
    text = (match[1] or match[2]) if match else node
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if address.version == 4:
        return str(address)
    # A zone is the name of an interface of the machine that wrote it.
    return str(address.ipv4_mapped or address) if address.scope_id is None else None


def _scheme(text: str | None) -> str | None:
    scheme = text.lower() if text else None
    return scheme if scheme in _SCHEMES else None


def _host(text: str | None) -> str | None:
    return text if text and _HOST.fullmatch(text) else None
