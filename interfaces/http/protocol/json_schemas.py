"""JSON Schema for values that may be any JSON within the rules."""

from typing import Any, Final, cast

from application.log.search import TYPE_NAMES
from domain.attributes import MAX_KEY_LENGTH, MAX_NUMBER

Schema = dict[str, Any]

JSON_VALUE: Final[Schema] = {"x-schema": "JsonValue"}
"""Stands for such a value in the schema of a body; the document replaces it by a reference."""

TEXT: Final = r"^[^\u0000]*$"
_REF: Final[Schema] = {"$ref": "#/components/schemas/JsonValue"}

EVENT_TYPE: Final[Schema] = {"type": "string", "enum": list(TYPE_NAMES)}
JSON_KEY: Final[Schema] = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_KEY_LENGTH,
    "pattern": TEXT,
}
VALUE: Final[Schema] = {
    "description": "Any JSON, up to 8 levels deep, without U+0000 and lone surrogates.",
    "type": ["null", "boolean", "number", "string", "array", "object"],
    "minimum": -MAX_NUMBER,
    "maximum": MAX_NUMBER,
    "pattern": TEXT,
    "items": _REF,
    "propertyNames": JSON_KEY,
    "additionalProperties": _REF,
}


def with_references(schema: Schema) -> Schema:
    """The schema for the document, where references replace `JSON_VALUE`."""
    return {name: _resolved(member) for name, member in schema.items()}


def _resolved(node: Any) -> Any:
    match node:
        case dict():
            members = cast("Schema", node)
            return _REF if members == JSON_VALUE else with_references(members)
        case list():
            return [_resolved(element) for element in cast("list[Any]", node)]
        case _:
            return node
