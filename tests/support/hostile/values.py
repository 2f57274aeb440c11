"""Values that attack what a program does with a text: statements, headers, paths, types of JSON."""

from typing import Any, Final

MARK: Final = "zz-hostile"
"""In each value, so that a test finds it where it must not be."""

SQL: Final = (
    f"{MARK}' OR '1'='1",
    f"{MARK}'; DROP TABLE stored_events; --",
    f'{MARK}" UNION SELECT wrapped FROM subject_keys --',
    f"{MARK}\\'; SELECT pg_sleep(20); --",
    f"{MARK}%s %(tenant)s {{COLUMNS}} :name $1",
    f"{MARK}%' ESCAPE '\\",
)
HEADERS: Final = (
    f"{MARK}\r\nX-Injected: 1",
    f"{MARK}\nSet-Cookie: rollbook_session=1",
    f"{MARK}%0d%0aX-Injected:%201",
    f"{MARK}\u560d\u560aX-Injected: 1",
)
TEXTS: Final = (
    f"{MARK}\x00",
    f"{MARK}\x1b[2J\x07",
    f"{MARK}\u202egnp.exe",
    f"{MARK}" + "a" * 9000,
    f"{MARK}<script>alert(1)</script>",
    f"{MARK}${{jndi:ldap://x/a}}{{{{7*7}}}}",
    f"{MARK}\U000e0041\u200b\ufeff",
    f"=cmd|'/c calc'!{MARK}",
)
PATHS: Final = (
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f%2e%2e%2f",
    "..%252f..%252fhealth%252flive",
    "%252e%252e%255c",
    "..;/..;/",
    "%00",
    f"{MARK}%00.json",
    "%ff%fe",
    "%c0%ae%c0%ae%c0%af",
    "%e2%80%a5%e2%80%a5%ef%bc%8f",
    "%ef%bc%8e%ef%bc%8e%2f",
    f"{MARK}%0d%0aX-Injected:%201",
    "*",
    "%20",
    f"{MARK}%27%20OR%201=1--",
    "018f0000-0000-7000-8000-00000000ffff%00",
    "018f0000-0000-7000-8000-00000000ffff%2f..%2f",
    "-1",
    "9" * 400,
    f"{MARK}" + "a" * 9000,
)
"""As they stand in an address: percent-encoded, some of them twice."""

_DEEP: Final[Any] = [[[[[[[[[[[[[[[[[[[[MARK]]]]]]]]]]]]]]]]]]]]
OTHER_TYPES: Final[tuple[Any, ...]] = (
    None,
    True,
    0,
    -1,
    2**53 + 1,
    2**63,
    10**400,
    1.5,
    "",
    [],
    [None],
    [MARK, [MARK], {MARK: MARK}],
    {},
    {"__proto__": {"admin": True}, "constructor": MARK, "$ref": "#/x", "$where": "1"},
    {"": MARK, "a" * 5000: MARK},
    _DEEP,
)
RAW_BODIES: Final = (
    b"",
    b"\xff\xfe",
    b"null",
    b"[]",
    b'"' + MARK.encode() + b'"',
    b"NaN",
    b"-Infinity",
    b"1e999999",
    b'{"name": NaN}',
    b'{"name": "\\ud800"}',
    b'{"name": "\\u0000"}',
    b'{"name": 1, "name": 2}',
    b"{" + b'"a":{' * 5000,
    b"[" * 50_000,
    b"{'name': 'x'}",
    b'{"name": "x"} {"name": "y"}',
    b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>",
)
