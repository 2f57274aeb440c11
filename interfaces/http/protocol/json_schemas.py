"""JSON Schemas as the document publishes them: code generators read them alike."""

from typing import Any, Final, cast

from application.log.search import TYPE_NAMES
from domain.attributes import MAX_KEY_LENGTH

Schema = dict[str, Any]

TEXT: Final = r"^[^\u0000]*$"

EVENT_TYPE: Final[Schema] = {"type": "string", "enum": list(TYPE_NAMES)}
JSON_KEY: Final[Schema] = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_KEY_LENGTH,
    "pattern": TEXT,
}
_MEMBERS: Final = frozenset(("properties", "additionalProperties"))


def published(schema: Schema) -> Schema:
    """The schema without what generators of clients misread.

    To them, a member with a default is never absent, an object that lists no members is empty, and
    a choice without a type may be anything.
    """
    members = {name: _published(name, member) for name, member in schema.items()}
    members.pop("default", None)
    if "enum" in members:
        members.setdefault("type", "string")
    if members.get("type") == "object" and not any(map(members.get, _MEMBERS)):
        members.setdefault("additionalProperties", True)
    return members


def _published(name: str, member: Any) -> Any:
    match member:
        case dict() if name == "properties":
            named = cast("dict[str, Schema]", member)
            return {each: published(schema) for each, schema in named.items()}
        case dict():
            return published(cast("Schema", member))
        case list():
            return [_published("", element) for element in cast("list[Any]", member)]
        case _:
            return member
