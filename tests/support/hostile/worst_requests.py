"""Requests of an admitted caller that take the server the most time within the limits."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

MEGABYTE: Final = 1024 * 1024
# As many as the characters that a body may have for its structure allow.
_NODES: Final = 24_000
_BODY: Final = b'{"name":"Ada","email":"ada@example.org","attributes":%s}'


def worst_requests(token: str, user: str) -> Mapping[str, Sequence[bytes]]:
    """By subject; a caller sends those of one subject in turn."""
    return {
        "refused bodies": [_post(token, body) for body in refused_bodies().values()],
        "accepted bodies": _accepted(token, user),
        "queries and headers": _queries(token, user),
        "pages of large events": [
            _request("GET", path, token)
            for path in (
                "/v1/events?limit=1000",
                "/v1/audit?limit=200",
                f"/v1/users/{user}/history?limit=200",
            )
        ],
    }


def large_patches(token: str, user: str, number: int) -> Sequence[bytes]:
    """Each makes an event with all that attributes may hold, before and after."""
    return [
        _request(
            "PATCH", f"/v1/users/{user}", token, _compact({"attributes": {"a": [n % 9] * 8_000}})
        )
        for n in range(number)
    ]


def refused_bodies() -> Mapping[str, bytes]:
    """Bodies for a registration that break a rule, each the worst of its kind."""
    return {
        "many empty arrays": _with_items(b"[]", MEGABYTE),
        "many empty objects": _with_items(b"{}", MEGABYTE),
        "many numbers": _with_items(b"1", MEGABYTE),
        "many long numbers": _with_items(b"5e-324", MEGABYTE),
        "many escapes": _with_text(b"\\u00e9", MEGABYTE),
        "many short escapes": _with_text(b"\\n", MEGABYTE),
        "one long text": _with_text(b"a", MEGABYTE),
        "one long text beyond ASCII": _with_text("é".encode(), MEGABYTE),
        "one long number": _BODY % (b'{"n":%s}' % (b"1" * (MEGABYTE - 100))),
        "one long fraction": b'{"name":0.%s}' % (b"1" * (MEGABYTE - 100)),
        "one long name of a member": b'{"%s":1}' % (b"a/" * (MEGABYTE // 2 - 10)),
        "fifty long names of members": _object(b'"%05d%s":1', 50, b"\xc3\xa9" * 9_000),
        "long text of a name": b'{"name":"%s"}' % ("\u0344".encode() * (MEGABYTE // 2 - 10)),
        "arrays up to the limit": _with_items(b"[]", _NODES),
        "objects up to the limit": _with_items(b"{}", _NODES),
        "numbers up to the limit": _with_items(b"1", 2 * _NODES),
        "fractions up to the limit": _with_items(b"5e-324", 7 * _NODES),
        "texts up to the limit": _with_items(b'"\xc3\xa9"', 5 * _NODES),
        "escapes up to the limit": _with_text(b"\\n", 2 * _NODES),
        "long escapes up to the limit": _with_text(b"\\ud83d\\ude00", 6 * _NODES),
        "members up to the limit": _BODY % _object(b'"%05d%s":1', _NODES // 2, b"k" * 60),
        "levels up to the limit": _BODY % (b'{"a":%s}' % (b"[" * 900 + b"]" * 900)),
        "filters up to the limit": _BODY % _object(b'"%05d%s":{"a":[1]}', _NODES // 7, b""),
    }


def _accepted(token: str, user: str) -> Sequence[bytes]:
    """Commands that are recorded: in turn, each changes what the others set."""
    path = f"/v1/users/{user}"
    bodies: list[Any] = [{"attributes": {"a": [n] * 8_000, "b": None}} for n in (1, 2)]
    bodies += [{"attributes": {"b": [[]] * 5_400, "a": None}}]
    bodies += [{"attributes": {"b": None, "a": ["é" * 3] * 1_800}}]
    bodies += [{"attributes": {"a": {f"{key:03x}": 1 for key in range(1_800)}}}]
    bodies += [{"attributes": {"a": {f"{key:03x}": None for key in range(3_000)}}}]
    spaces = b" " * (MEGABYTE - 4096)
    patches = [_request("PATCH", path, token, _compact(body)) for body in bodies]
    patches.append(_request("PATCH", path, token, spaces + b'{"role": "owner"}'))
    registrations = [
        _request(
            "POST",
            "/v1/users",
            token,
            _compact(
                {
                    "name": "é" * 200,
                    "email": f"{uuid4()}@{'ü' * 40}.example.org",
                    "attributes": {"a": [n] * 8_000},
                }
            ),
        )
        for n in range(40)
    ]
    return [each for pair in zip(registrations, patches * 6, strict=False) for each in pair]


def _queries(token: str, user: str) -> Sequence[bytes]:
    """Refused in the end, so that no view or table has a part in the time."""
    addresses = ",".join(f"ü{n}@{'ö' * 20}{n}.example.org" for n in range(200))
    plain = ",".join(f"user{n}@a{n}.{'b' * 40}{n}.example.org" for n in range(200))
    lists = [
        f"/v1/users?email={quote(addresses)[:60_000]}",
        f"/v1/users?email={plain}",
        f"/v1/users?external_id={quote(chr(92) + ',') * 10_000}",
        f"/v1/users?external_id={',' * 60_000}",
        f"/v1/users?q={quote('ﷺ ' * 100)}",
        f"/v1/users?{'%41' * 20_000}=1",
        f"/v1/users?ids={','.join(str(uuid4()) for _ in range(200))}",
        f"/v1/audit?types={',' * 60_000}",
        f"/v1/events?types={'user.*,' * 8_000}",
    ]
    paths = [f"/v1/users/{'%41' * 20_000}", f"/v1/users/{'a' * 60_000}"]
    accepts = [
        ("/v1/me", {"Accept": ",a" * 30_000}),
        ("/v1/me", {"Accept": ";" * 60_000}),
        ("/v1/me", {"Accept": ",a" * 2_000}),
        ("/openapi.json", {"Accept-Encoding": ",gzip;q=0" * 6_000}),
    ]
    headers = [
        {"If-Match": ",".join(f'"{n}"' for n in range(10_000))},
        {"If-Match": ",".join(f'"{n}"' for n in range(600))},
        {"If-Match": '"1"' + " ," * 30_000},
        {"If-None-Match": '"1",' * 15_000},
        {"Idempotency-Key": '"' + "\\" * 30_000 + '"'},
        {"Content-Type": "application/json;" + ";" * 60_000},
    ]
    return [
        *(_request("GET", f"{path}&limit=x", token) for path in lists),
        *(_request("GET", path, token) for path in paths),
        *(_request("GET", path, token, b"", **each) for path, each in accepts),
        *(
            _request("PATCH", f"/v1/users/{user}", token, b'{"role":"a"}', **each)
            for each in headers
        ),
    ]


def _with_items(item: bytes, size: int) -> bytes:
    number = (size - 100) // (len(item) + 1)
    return _BODY % (b'{"a":[%s]}' % b",".join([item] * number))


def _with_text(piece: bytes, size: int) -> bytes:
    return _BODY % (b'{"a":"%s"}' % (piece * ((size - 100) // len(piece))))


def _object(member: bytes, number: int, rest: bytes) -> bytes:
    return b"{%s}" % b",".join(member.replace(b"%s", rest) % n for n in range(number))


def _compact(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _post(token: str, body: bytes) -> bytes:
    return _request("POST", "/v1/users", token, body)


def _request(method: str, path: str, token: str, body: bytes = b"", **headers: str) -> bytes:
    given = {"Host": "rollbook", "Authorization": f"Bearer {token}"}
    if body:
        given |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines = [f"{name}: {value}" for name, value in (given | headers).items()]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode() + body
