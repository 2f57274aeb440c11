"""Requests with one hostile value each, for every parameter that the OpenAPI document names."""

import re
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec
from msgspec import Struct

from tests.support.hostile.values import HEADERS, OTHER_TYPES, PATHS, RAW_BODIES, SQL, TEXTS

Json = dict[str, Any]
UNKNOWN_ID: Final = "018f0000-0000-7000-8000-00000000ffff"
JSON: Final = "application/json"
_VARIABLE: Final = re.compile(r"\{(\w+)\}")


class Attack(Struct, frozen=True):
    """A request; `place` says where its hostile value is."""

    place: str
    method: str
    url: str
    headers: Sequence[tuple[bytes, bytes]] = ()
    content: bytes | None = None


def attacks(document: Json, path: str, method: str, texts: Sequence[str] = ()) -> list[Attack]:
    """All attacks on one operation; with `texts`, only these, and only as texts."""
    return list(_Attacks(document, path, method).all_with(texts))


class _Attacks:
    def __init__(self, document: Json, path: str, method: str) -> None:
        self._components: Json = document["components"]
        self._operation: Json = document["paths"][path][method.lower()]
        self._path = path
        self._method = method
        self._body: bytes | None = b"{}" if "requestBody" in self._operation else None

    def all_with(self, texts: Sequence[str]) -> Generator[Attack]:
        chosen = texts or (*SQL, *HEADERS, *TEXTS)
        for parameter in map(self._resolved, self._operation.get("parameters", [])):
            name, place = parameter["name"], parameter["in"]
            if place == "path":
                values = texts and [quote(text, safe="") for text in texts]
                for value in values or (*map(quote_all, SQL), *PATHS):
                    yield self._attack(f"path {name}", variables={name: value})
            elif place == "query":
                for value in chosen:
                    yield self._attack(f"query {name}", query=f"?{name}={quote(value, safe='')}")
            else:
                # What reads headers is the same code for all operations.
                for value in texts or (*SQL[:2], *HEADERS):
                    yield self._attack(f"header {name}", header=(name, value))
        if not texts:
            yield self._attack("query", query="?" + "&".join(f"p{n}=1" for n in range(2000)))
            yield self._attack("query", query="?limit=1&limit=2&%ff=%ff&=&&;")
        if self._body is not None:
            yield from self._on_body(chosen, with_types=not texts)

    def _on_body(self, texts: Sequence[str], *, with_types: bool) -> Generator[Attack]:
        members = self._members()
        values: list[Any] = [*texts, *(OTHER_TYPES if with_types else ())]
        for member in members:
            for value in values:
                content = msgspec.json.encode({member: value}) if _fits(value) else None
                content = content or b'{"%s":%d}' % (member.encode(), value)
                yield self._attack(f"body {member}", content=content)
        if with_types:
            for raw in RAW_BODIES:
                yield self._attack("body", content=raw)
            every = {member: {"a": [1]} for member in members}
            yield self._attack("body", content=msgspec.json.encode(every))

    def _attack(
        self,
        place: str,
        *,
        variables: Mapping[str, str] | None = None,
        query: str = "",
        header: tuple[str, str] | None = None,
        content: bytes | None = None,
    ) -> Attack:
        given = variables or {}
        path = _VARIABLE.sub(lambda found: given.get(found[1], UNKNOWN_ID), self._path)
        headers = [] if header is None else [(header[0].encode(), header[1].encode())]
        if self._body is not None:
            headers.append((b"Content-Type", JSON.encode()))
        body = self._body if content is None else content
        return Attack(place, self._method, path + query, headers, body)

    def _members(self) -> list[str]:
        content: Json = self._operation["requestBody"]["content"]
        schema = next(iter(content.values()))["schema"]
        return sorted(self._names(schema))

    def _names(self, schema: Json) -> set[str]:
        schema = self._resolved(schema)
        names = set(schema.get("properties", {}))
        for variant in schema.get("anyOf", ()):
            names |= self._names(variant)
        return names

    def _resolved(self, part: Json) -> Json:
        while "$ref" in part:
            kind, _, name = part["$ref"].removeprefix("#/components/").partition("/")
            part = self._components[kind][name]
        return part


def quote_all(text: str) -> str:
    return quote(text, safe="")


def _fits(value: Any) -> bool:
    """Whether the encoder takes the number."""
    return not isinstance(value, int) or -(2**63) <= value < 2**64
