"""The OpenAPI document: all operations, and the components that they refer to."""

from collections.abc import Mapping, Sequence
from inspect import cleandoc
from typing import Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from interfaces.http.endpoint.openapi import REF, Schema, described
from interfaces.http.endpoint.operation import Operation
from interfaces.http.protocol.json_schemas import published
from interfaces.http.protocol.problems import PROBLEMS, type_uri
from interfaces.presented import SESSION_COOKIE

_TITLE: Final = "Rollbook"
_DESCRIPTION: Final = (
    "A user directory that remembers every change. Errors are problems of RFC 9457; every answer "
    "names its `X-Request-ID` and the `Rollbook-Version`."
)

_PROBLEM: Final[Schema] = {
    "type": "object",
    "description": "RFC 9457. Each type may have further members, which its page describes.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "enum": [type_uri(slug) for slug in PROBLEMS]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {
                    "pointer": {
                        "type": "string",
                        "description": "A JSON pointer (`#/email`), a parameter or a header.",
                    },
                    "detail": {"type": "string"},
                },
            },
        },
    },
}

_TAGS: Final[Schema] = {"type": "string", "format": "entity-tags", "examples": ['"3"']}

_TEXT: Final[Schema] = {"type": "string"}
_WHOLE: Final[Schema] = {"type": "integer", "minimum": 0}

_HEADERS: Final[Mapping[str, Schema]] = {
    "X-Request-ID": {
        "description": "As it was sent, or made; the correlation id of events it caused.",
        "schema": _TEXT,
    },
    "Rollbook-Version": {"description": "The server's version.", "schema": _TEXT},
    "Rollbook-Position": {
        "description": "The position the answer shows, or that the command came to.",
        "schema": _WHOLE,
    },
    "ETag": {"description": "The version of the user or webhook, in quotes.", "schema": _TEXT},
    "Location": {"description": "The address of what was made.", "schema": _TEXT},
    "Idempotency-Replayed": {
        "description": "`true` where an earlier request had this key.",
        "schema": {"type": "string", "const": "true"},
    },
    "RateLimit-Policy": {
        "description": "The limit that the request counts for: `q` requests in `w` seconds.",
        "schema": _TEXT,
    },
    "RateLimit": {
        "description": "What is left of it: `r` requests for the next `t` seconds.",
        "schema": _TEXT,
    },
    "Retry-After": {"description": "Seconds to wait.", "schema": _WHOLE},
    "WWW-Authenticate": {"description": "The challenge (RFC 6750).", "schema": _TEXT},
    "Allow": {"description": "The methods there are.", "schema": _TEXT},
}
_REQUEST_HEADERS: Final[Mapping[str, Schema]] = {
    "X-Request-ID": {
        "description": "1 to 128 visible ASCII characters; another one is replaced.",
        "schema": _TEXT,
    },
    "Idempotency-Key": {
        "description": "1 to 255 visible ASCII characters; a repeat is answered as the first.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    },
    "If-Match": {
        "description": "Entity tags of the versions that may be changed, or `*`.",
        "schema": _TAGS,
    },
    "If-None-Match": {
        "description": "Entity tags of what the client has: reading answers 304 where it is "
        "current, and a command is refused (412).",
        "schema": _TAGS,
    },
    "Rollbook-On-Behalf-Of": {
        "description": "For whom this is asked; needs users:write.",
        "schema": {"type": "string", "pattern": "^[!-~]{1,128}$"},
    },
    "Rollbook-Min-Position": {
        "description": "The answer waits until it shows this position, for 2 s at most.",
        "schema": _WHOLE,
    },
}


def document(app: FastAPI, operations: Sequence[Operation], version: str) -> Schema:
    """The whole document of the app's routes."""
    built = get_openapi(
        title=_TITLE,
        version=version,
        description=_DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        routes=app.routes,
    )
    for each in operations:
        built["paths"][each.path][each.method.lower()] |= described(each)
    answers = [each.answers for each in operations if each.answers]
    _, schemas = msgspec.json.schema_components(answers, ref_template=REF)
    for schema in schemas.values():
        if "description" in schema:
            schema["description"] = cleandoc(schema["description"])
    for body in (each.body for each in operations if each.body):
        schema = body.json_schema()
        schemas |= _components(schema)
    built["components"] = {
        "schemas": {
            **{name: published(schema) for name, schema in schemas.items()},
            "Problem": _PROBLEM,
        },
        "headers": dict(_HEADERS),
        "parameters": {
            name: {"name": name, "in": "header", **header}
            for name, header in _REQUEST_HEADERS.items()
        },
        "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer"},
            "session": {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE},
        },
    }
    _add_links(built["paths"])
    return built


def _components(body: Schema) -> Schema:
    """The schema of a body, and those of its variants, of which generators make classes."""
    variants: dict[str, Schema] = {each["title"]: each for each in body.get("anyOf", [])}
    if variants:
        body["anyOf"] = [{"$ref": REF.format(name=title)} for title in variants]
    return {body["title"]: body, **variants}


def _add_links(paths: Schema) -> None:
    """Link the id of a new user, and of an event, to the operations that take it."""
    _link(paths, ("/v1/users", "post", "201"), "user_id", "$response.body#/id")
    _link(paths, ("/v1/events", "get", "200"), "event_id", "$response.body#/items/0/id")


def _link(paths: Schema, source: tuple[str, str, str], parameter: str, value: str) -> None:
    path, method, status = source
    paths[path][method]["responses"][status]["links"] = {
        operation["operationId"]: {
            "operationId": operation["operationId"],
            "parameters": {parameter: value},
        }
        for path, operations in paths.items()
        if f"{{{parameter}}}" in path
        for operation in operations.values()
    }
