"""The host that a request is for, and whether it is this machine."""

import re
from ipaddress import IPv6Address, ip_address
from typing import Final

from fastapi import Request

from interfaces.http.protocol.headers import header

_AUTHORITY: Final = re.compile(r"(?:\[([^\]]*)\]|([^:\[\]]*))(?::\d*)?", re.ASCII)
_LOCALHOST: Final = "localhost"


def host_of(request: Request) -> str:
    """The name or address in `Host`, without its port; empty if it is missing or malformed."""
    match = _AUTHORITY.fullmatch(header(request, "Host") or "")
    return (match[1] or match[2] or "").lower() if match else ""


def is_loopback(address: str) -> bool:
    """Whether this is an address of the own machine; a name is none."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return parsed.is_loopback


def is_own_machine(host: str) -> bool:
    """Whether a browser that names this host asks its own machine (RFC 6761, section 6.3)."""
    return host == _LOCALHOST or host.endswith(f".{_LOCALHOST}") or is_loopback(host)
