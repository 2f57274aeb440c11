"""The rules for targets of outgoing requests: which URLs and which addresses are allowed."""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from msgspec import Struct

from application.webhooks.delivery_ports import TargetRefused
from domain.webhook.values import MAX_URL_LENGTH

_PORTS: Final = {"https": 443, "http": 80}

# The characters of RFC 3986. All others, such as a backslash or a space, are read by some programs as
# another URL than by others.
_CHARACTERS: Final = re.compile(r"[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]+", re.ASCII)
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?]*)(/[^?]*)?(\?.*)?")
_HOST_AND_PORT: Final = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(:.*)?")
_PORT: Final = re.compile(r":[1-9][0-9]{0,4}", re.ASCII)
_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
    r"(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*",
    re.ASCII,
)
# Such a name is an IPv4 address to browsers and to `inet_aton` (WHATWG URL, "ends in a number"):
# 2130706433, 0x7f.1 and 0177.0.0.1 are all 127.0.0.1.
_ENDS_IN_NUMBER: Final = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)", re.ASCII)

# The IANA registries of special-purpose addresses (RFC 6890), without those for private use.
_SPECIAL_V4: Final = tuple(
    IPv4Network(each)
    for each in (
        "0.0.0.0/8",  # this network
        "100.64.0.0/10",  # shared (RFC 6598)
        "168.63.129.16/32",  # metadata of a cloud, at an address that looks public
        "169.254.0.0/16",  # link-local, and the metadata of most clouds
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # automatic multicast tunnels
        "192.88.99.0/24",  # 6to4 relays
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_PRIVATE_V4: Final = tuple(
    IPv4Network(each) for each in ("10.0.0.0/8", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
)
# Everything else is not public: loopback, mapped and compatible IPv4, NAT64, link-local, multicast.
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_SPECIAL_V6: Final = tuple(
    IPv6Network(each)
    for each in (
        "2001::/23",  # Teredo, ORCHID, benchmarks, protocol assignments
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address inside
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
_PRIVATE_V6: Final = (IPv6Network("::1/128"), IPv6Network("fc00::/7"))


class Target(Struct, frozen=True, kw_only=True):
    """A URL in its parts: `host` is in lower case and has no brackets; `path` has the query."""

    scheme: str
    host: str
    port: int
    path: str


def parse_target(url: str, *, allow_unsafe: bool = False) -> Target:
    """The parts of a URL that Rollbook may send to, as far as the URL shows this.

    With `allow_unsafe` also `http`, and addresses for private use. A host has one spelling: a
    name in ASCII (`xn--…`), an IPv4 address of four decimal numbers, or an IPv6 address.
    Raises `TargetRefused`.
    """
    parts = _URL.fullmatch(url)
    if len(url) > MAX_URL_LENGTH or not _CHARACTERS.fullmatch(url) or parts is None:
        raise TargetRefused(
            "url-malformed",
            f"Must be a URL (RFC 3986) in ASCII without fragment, of up to {MAX_URL_LENGTH} characters.",
        )
    scheme, authority = parts[1].lower(), parts[2]
    if scheme not in (_PORTS if allow_unsafe else ("https",)):
        raise TargetRefused("scheme-not-allowed", "Must begin with https://.")
    if "@" in authority:
        raise TargetRefused("credentials-in-url", "Must not contain a user name or password.")
    host, port = _host_and_port(authority)
    path = (parts[3] or "/") + (parts[4] or "")
    target = Target(scheme=scheme, host=host, port=port or _PORTS[scheme], path=path)
    if is_address(host):
        check_address(host, allow_unsafe=allow_unsafe)
    return target


def _host_and_port(authority: str) -> tuple[str, int | None]:
    parts = _HOST_AND_PORT.fullmatch(authority)
    if parts is None:
        raise TargetRefused("host-malformed", "The host is not valid.")
    port = None
    if parts[2] is not None:
        if not _PORT.fullmatch(parts[2]) or int(parts[2][1:]) > 0xFFFF:
            raise TargetRefused("port-malformed", "The port must be a number from 1 to 65535.")
        port = int(parts[2][1:])
    return _host(parts[1].lower()), port


def _host(text: str) -> str:
    malformed = TargetRefused(
        "host-malformed",
        "The host must be a name in ASCII, an IPv4 address of four decimal numbers, or an IPv6"
        " address in brackets.",
    )
    if text.startswith("["):
        # A zone (RFC 6874) would choose the network interface.
        if "%" in text:
            raise malformed
        try:
            return str(IPv6Address(text[1:-1]))
        except ValueError:
            raise malformed from None
    name = text.removesuffix(".")
    if not _NAME.fullmatch(name):
        raise malformed
    if _ENDS_IN_NUMBER.fullmatch(name):
        try:
            return str(IPv4Address(name))
        except ValueError:
            raise malformed from None
    return name


def is_address(host: str) -> bool:
    """Whether the host of a target is an address, which needs no look-up."""
    return ":" in host or _ENDS_IN_NUMBER.fullmatch(host) is not None


def check_address(address: str, *, allow_unsafe: bool = False) -> None:
    """Only public unicast addresses are allowed; with `allow_unsafe` also those for private use.

    Raises `TargetRefused`, also if this is not an address.
    """
    if not _is_allowed(address, allow_unsafe=allow_unsafe):
        raise TargetRefused("address-not-public", "The host must have only public addresses.")


def _is_allowed(text: str, *, allow_unsafe: bool) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv4Address):
        is_private = any(address in network for network in _PRIVATE_V4)
        is_public = not is_private and not any(address in network for network in _SPECIAL_V4)
    elif address.scope_id is not None:
        return False
    else:
        is_private = any(address in network for network in _PRIVATE_V6)
        is_public = address in _GLOBAL_UNICAST and not any(
            address in network for network in _SPECIAL_V6
        )
    return is_public or (allow_unsafe and is_private)
