"""Targets to which Rollbook must never send, and the addresses that hostile names resolve to."""

from collections.abc import Mapping, Sequence
from typing import Final

NAMES: Final[Mapping[str, Sequence[str]]] = {
    "localhost": ["127.0.0.1"],
    "loopback.example.org": ["127.0.0.1"],
    "six.example.org": ["::1"],
    "internal.example.org": ["10.1.2.3"],
    "both.example.org": ["93.184.215.14", "192.168.0.7"],
    "metadata.example.org": ["169.254.169.254"],
    "shared.example.org": ["100.100.100.200"],
    "cloud.example.org": ["168.63.129.16"],
    "mapped.example.org": ["::ffff:10.0.0.1"],
    "zone.example.org": ["fe80::1%1"],
    "translated.example.org": ["64:ff9b::7f00:1"],
    "nobody.example.org": [],
}
"""What the names in the table resolve to."""

HOSTILE: Final[Mapping[str, str]] = {
    # The scheme.
    "http://example.org/hook": "scheme-not-allowed",
    "ftp://example.org/hook": "scheme-not-allowed",
    "file:///etc/passwd": "scheme-not-allowed",
    "gopher://example.org/": "scheme-not-allowed",
    # Other spellings of a URL.
    "//example.org/hook": "url-malformed",
    "example.org": "url-malformed",
    "https:example.org": "url-malformed",
    "https:\\\\example.org\\": "url-malformed",
    "https://example.org/a b": "url-malformed",
    "https://example.org/#fragment": "url-malformed",
    "https://example.org/\r\nhost: 127.0.0.1": "url-malformed",
    " https://example.org/": "url-malformed",
    "https://example.org\\@127.0.0.1/": "url-malformed",
    # User names and passwords.
    "https://user@example.org/": "credentials-in-url",
    "https://user:secret@example.org/": "credentials-in-url",
    "https://example.org@127.0.0.1/": "credentials-in-url",
    # Loopback in many spellings.
    "https://127.0.0.1/": "address-not-public",
    "https://127.0.0.1./": "address-not-public",
    "https://127.8.9.10:8443/": "address-not-public",
    "https://127.1/": "host-malformed",
    "https://2130706433/": "host-malformed",
    "https://0x7f000001/": "host-malformed",
    "https://0x7f.0.0.1/": "host-malformed",
    "https://0177.0.0.1/": "host-malformed",
    "https://127.0.0.0x1/": "host-malformed",
    "https://127.000.000.001/": "host-malformed",
    "https://127%2e0%2e0%2e1/": "host-malformed",
    "https://１２７.0.0.1/": "url-malformed",
    "https://127。0。0。1/": "url-malformed",
    "https://ⓛocalhost/": "url-malformed",
    "https://localhost/": "address-not-public",
    "https://LOCALHOST./": "address-not-public",
    "https://loopback.example.org/": "address-not-public",
    "https://six.example.org/": "address-not-public",
    "https://[::1]/": "address-not-public",
    "https://[::]/": "address-not-public",
    "https://0.0.0.0/": "address-not-public",
    "https://0/": "host-malformed",
    # Private, shared, link-local, metadata, special, multicast, reserved.
    "https://10.0.0.1/": "address-not-public",
    "https://172.16.0.1/": "address-not-public",
    "https://172.31.255.255/": "address-not-public",
    "https://192.168.1.1/": "address-not-public",
    "https://internal.example.org/": "address-not-public",
    "https://both.example.org/": "address-not-public",
    "https://100.64.0.1/": "address-not-public",
    "https://shared.example.org/": "address-not-public",
    "https://169.254.169.254/latest/meta-data/": "address-not-public",
    "https://metadata.example.org/": "address-not-public",
    "https://cloud.example.org/": "address-not-public",
    "https://192.0.0.192/": "address-not-public",
    "https://198.18.0.1/": "address-not-public",
    "https://224.0.0.1/": "address-not-public",
    "https://240.0.0.1/": "address-not-public",
    "https://255.255.255.255/": "address-not-public",
    "https://[fe80::1]/": "address-not-public",
    "https://[fe80::1%25eth0]/": "host-malformed",
    "https://zone.example.org/": "address-not-public",
    "https://[fd00:ec2::254]/": "address-not-public",
    "https://[ff02::1]/": "address-not-public",
    "https://[2001:db8::1]/": "address-not-public",
    # IPv4 addresses inside IPv6 addresses.
    "https://[::ffff:127.0.0.1]/": "address-not-public",
    "https://[::ffff:7f00:1]/": "address-not-public",
    "https://[::127.0.0.1]/": "address-not-public",
    "https://mapped.example.org/": "address-not-public",
    "https://[64:ff9b::7f00:1]/": "address-not-public",
    "https://[64:ff9b:1::a00:1]/": "address-not-public",
    "https://translated.example.org/": "address-not-public",
    "https://[2002:7f00:1::]/": "address-not-public",
    "https://[2001:0:7f00:1::]/": "address-not-public",
    # Ports and hosts that are none.
    "https://example.org:0/": "port-malformed",
    "https://example.org:65536/": "port-malformed",
    "https://example.org:/": "port-malformed",
    "https://example.org:+80/": "port-malformed",
    "https://example.org:80:443/": "port-malformed",
    "https://example.org:0443/": "port-malformed",
    "https:///hook": "host-malformed",
    "https://.example.org/": "host-malformed",
    "https://example..org/": "host-malformed",
    "https://example.org../": "host-malformed",
    "https://[::1/": "host-malformed",
    "https://[example.org]/": "host-malformed",
    f"https://{'a' * 64}.example.org/": "host-malformed",
    f"https://example.org/{'a' * 2048}": "url-malformed",
    "https://nobody.example.org/": "name-not-found",
}
"""Each hostile URL with the code of its refusal."""


async def resolve(name: str) -> Sequence[str]:
    """The addresses of a name: those of the table, else a public one."""
    addresses = NAMES.get(name, ["93.184.215.14"])
    if not addresses:
        raise OSError("Name or service not known")
    return addresses
