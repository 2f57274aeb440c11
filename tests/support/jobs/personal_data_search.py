"""Searches all tables, Redis keys, messages and files for personal data that is left."""

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import quote

import psycopg
from redis import Redis

# All tables that SQL can read, and the system views that may hold values from them.
_TABLES: Final = """
SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm')
    AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg_toast%'
UNION ALL SELECT unnest(ARRAY['pg_stats', 'pg_stats_ext', 'pg_stats_ext_exprs',
    'pg_stat_activity', 'pg_cursors', 'pg_prepared_statements', 'pg_largeobject'])
ORDER BY 1"""
_HEX: Final = re.compile(rb"\\x([0-9a-f]{8,})")
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}")


class Words:
    """Words that only one person has; data is searched for every encoding of each word."""

    def __init__(self, *words: str) -> None:
        self._forms = {word: list(_forms(word)) for word in words}

    def found_in(self, data: bytes) -> set[str]:
        """The words that are in some bytes, as plain text or encoded."""
        layers = b"\n".join([data, *_unwrapped(data)]).decode(errors="replace").casefold()
        return {
            word for word, forms in self._forms.items() if any(each in layers for each in forms)
        }


Found = Mapping[str, set[str]]
"""By place: the words that were found there."""


def in_tables(database_url: str, words: Words) -> Found:
    """By table; each row is searched as text, as in a dump."""
    found: dict[str, set[str]] = {}
    with psycopg.connect(database_url) as connection:
        for (table,) in connection.execute(_TABLES).fetchall():
            rows = connection.execute(f"SELECT t::text FROM {table} t".encode()).fetchall()
            found[table] = words.found_in("\n".join(row[0] or "" for row in rows).encode())
    return _only(found)


def in_redis(redis_url: str, words: Words) -> Found:
    """By key, in keys and values of every type; also in the slow log of the server."""
    client = cast("Any", Redis).from_url(redis_url)
    try:
        keys: Iterable[bytes] = client.scan_iter("*")
        dumps = {key.decode(): key + b"\n" + (client.dump(key) or b"") for key in keys}
        texts = {key: dump + _value(client, key) for key, dump in dumps.items()}
        texts["SLOWLOG"] = repr(client.slowlog_get(1000)).encode()
    finally:
        client.close()
    return _only({key: words.found_in(text) for key, text in texts.items()})


def _value(client: Any, key: str) -> bytes:
    """The value as it was stored, because a dump may compress it."""
    match client.type(key):
        case b"string":
            return client.get(key)
        case b"hash":
            return b"\n".join(part for field in client.hgetall(key).items() for part in field)
        case _:
            return b""


def in_messages(messages: Sequence[tuple[bytes, Mapping[str, Any]]], words: Words) -> Found:
    """By index in the queue; bodies and headers are searched."""
    texts = [body + repr(dict(headers)).encode() for body, headers in messages]
    return _only({str(n): words.found_in(text) for n, text in enumerate(texts)})


def in_files(files: Iterable[Path], words: Words) -> Found:
    """By file."""
    return _only({str(file): words.found_in(file.read_bytes()) for file in files})


def _only(found: Found) -> Found:
    return {place: words for place, words in found.items() if words}


def _forms(word: str) -> Iterable[str]:
    """The encodings of a word in lower case, because the searched text is lower case."""
    yield word.casefold()
    yield quote(word).lower()
    yield quote(word, safe="@").lower()
    yield quote(word).replace("%20", "+").lower()
    escaped = json.dumps(word)[1:-1]
    yield escaped.lower()
    yield escaped.replace("\\", "\\\\").lower()
    yield word.encode().hex()
    # The base64 of a word depends on its offset in the text modulo three.
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + word.encode()).rstrip(b"=")
        yield encoded[(0, 2, 3)[shift] : -1].decode().lower()


def _unwrapped(data: bytes) -> Iterable[bytes]:
    """The decoded bytes of hexadecimal and base64 in the data."""
    for match in _HEX.finditer(data):
        digits = match[1]
        yield bytes.fromhex(digits[: len(digits) // 2 * 2].decode())
    for match in _BASE64.finditer(data):
        plain = match[0].replace(b"-", b"+").replace(b"_", b"/").rstrip(b"=")
        yield base64.b64decode(plain + b"=" * (-len(plain) % 4) if len(plain) % 4 != 1 else b"")
