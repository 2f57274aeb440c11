"""Only URLs at public addresses are targets, in one spelling."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.webhooks.delivery_ports import TargetRefused
from application.webhooks.targets import check_address, is_address, parse_target


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("https://example.org", "example.org", 443, "/"),
        ("HTTPS://Example.ORG./a/b?c=d&e", "example.org", 443, "/a/b?c=d&e"),
        ("https://hooks.example.org:8443?x", "hooks.example.org", 8443, "/?x"),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443, "/"),
        ("https://93.184.215.14/", "93.184.215.14", 443, "/"),
        ("https://[2606:4700::1111]:444/", "2606:4700::1111", 444, "/"),
        ("https://1e100.net/", "1e100.net", 443, "/"),
        ("https://a_b.example.org/", "a_b.example.org", 443, "/"),
    ],
)
def test_an_ordinary_url_is_a_target(url: str, host: str, port: int, path: str) -> None:
    target = parse_target(url)
    assert (target.scheme, target.host, target.port, target.path) == ("https", host, port, path)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "192.168.1.1", "::1", "fd00::1"])
def test_private_addresses_are_allowed_only_in_development(address: str) -> None:
    check_address(address, allow_unsafe=True)
    with pytest.raises(TargetRefused):
        check_address(address)


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "0.0.0.0", "224.0.0.1", "::", "::ffff:127.0.0.1", "nothing"]
)
def test_some_addresses_are_never_allowed(address: str) -> None:
    with pytest.raises(TargetRefused):
        check_address(address, allow_unsafe=True)


@given(st.ip_addresses())
def test_no_address_is_allowed_that_the_standard_library_calls_special(address: object) -> None:
    try:
        check_address(str(address))
    except TargetRefused:
        return
    known = ip_address(str(address))
    assert known.is_global
    assert not known.is_multicast
    assert not known.is_reserved


@given(st.text(alphabet="0123456789abcdefx.:[]%@/?#\\-_ ", max_size=30))
def test_every_host_is_a_checked_address_or_a_plain_name(authority: str) -> None:
    try:
        target = parse_target(f"https://{authority}")
    except TargetRefused:
        return
    if is_address(target.host):
        check_address(target.host)
    else:
        # What is left to resolve is no number in any notation.
        last = target.host.rpartition(".")[2]
        assert not last.isdigit()
        assert not last.startswith("0x") or not set(last[2:]) <= set("0123456789abcdef")
