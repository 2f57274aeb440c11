"""The OpenAPI document: complete, from the declarations that also check and build the answers."""

from collections.abc import Iterable, Mapping, Sequence
from inspect import cleandoc
from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from msgspec import Struct
from pydantic import TypeAdapter

from application.identity import Permission
from interfaces.http.protocol.json_schemas import VALUE, with_references
from interfaces.http.protocol.problems import PROBLEMS, Slug, type_uri

Schema = dict[str, Any]

_REF: Final = "#/components/schemas/{name}"
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
    "ETag": {"description": "The user's version, in quotes.", "schema": _TEXT},
    "Location": {"description": "The address of what was made.", "schema": _TEXT},
    "Idempotency-Replayed": {
        "description": "`true` where an earlier request had this key.",
        "schema": {"type": "string", "const": "true"},
    },
    "Retry-After": {"description": "Seconds to wait.", "schema": _WHOLE},
    "WWW-Authenticate": {"description": "The challenge (RFC 6750).", "schema": _TEXT},
    "Allow": {"description": "The methods there are.", "schema": _TEXT},
}
_ON_EVERY_ANSWER: Final = ("X-Request-ID", "Rollbook-Version")
_ON_PROBLEMS: Final[Mapping[int, str]] = {
    401: "WWW-Authenticate",
    409: "Retry-After",
    503: "Retry-After",
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


def header_parameters(*names: str) -> list[Schema]:
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


def path_parameters(path: str) -> list[Schema]:
    """Every variable in a path of the API is an id, except the name of a projection."""
    schema: Schema = {"type": "string", "format": "uuid"}
    named: Schema = {"type": "string"}
    return [
        {
            "name": part[1:-1],
            "in": "path",
            "required": True,
            "schema": named if part == "{name}" else schema,
        }
        for part in path.split("/")
        if part.startswith("{")
    ]


def query_parameters(adapter: TypeAdapter[Any]) -> list[Schema]:
    """Each field of a model of query parameters; several values are a comma list."""
    schema = adapter.json_schema()
    return [
        {"name": name, "in": "query", **_parameter(member)}
        for name, member in schema.get("properties", {}).items()
    ]


def request_body(adapter: TypeAdapter[Any], accepts: Iterable[str], *, required: bool) -> Schema:
    content = {"schema": {"$ref": _REF.format(name=adapter.json_schema()["title"])}}
    return {"required": required, "content": dict.fromkeys(accepts, content)}


def answer(
    description: str, body: type[Struct] | None = None, headers: Iterable[str] = ()
) -> Schema:
    response: Schema = {"description": description, "headers": _headers(headers)}
    if body is not None:
        schema = {"$ref": _REF.format(name=body.__name__)}
        response["content"] = {"application/json": {"schema": schema}}
    return response


def problem_answers(slugs: Iterable[Slug]) -> Schema:
    """One response for each status, naming the problems it may be."""
    by_status: dict[int, list[Slug]] = {}
    for slug in dict.fromkeys(slugs):
        by_status.setdefault(PROBLEMS[slug].status, []).append(slug)
    return {
        str(status): {
            "description": "; ".join(f"`{slug}`: {PROBLEMS[slug].title}" for slug in same),
            "headers": _headers([_ON_PROBLEMS[status]] if status in _ON_PROBLEMS else []),
            "content": {
                "application/problem+json": {"schema": {"$ref": _REF.format(name="Problem")}}
            },
        }
        for status, same in sorted(by_status.items())
    }


def security(needs: Permission | None) -> Schema:
    """OpenAPI 3.1 takes roles for any scheme: here, the permission."""
    return {"security": [{"bearer": [needs] if needs else []}]}


def document(
    app: FastAPI,
    answers: Sequence[type[Struct]],
    bodies: Iterable[TypeAdapter[Any]],
    version: str,
) -> Schema:
    """The whole document of the app's routes."""
    built = get_openapi(
        title=_TITLE,
        version=version,
        description=_DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        routes=app.routes,
    )
    _, schemas = msgspec.json.schema_components(answers, ref_template=_REF)
    for schema in schemas.values():
        if "description" in schema:
            schema["description"] = cleandoc(schema["description"])
    for body in bodies:
        schema = body.json_schema()
        schemas[schema["title"]] = with_references(schema)
    built["components"] = {
        "schemas": {**schemas, "JsonValue": VALUE, "Problem": _PROBLEM},
        "headers": dict(_HEADERS),
        "parameters": {
            name: {"name": name, "in": "header", **header}
            for name, header in _REQUEST_HEADERS.items()
        },
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
    }
    _add_links(built["paths"])
    return built


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


def _headers(names: Iterable[str]) -> Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*_ON_EVERY_ANSWER, *names)}


def _parameter(member: Schema) -> Schema:
    schema = {name: value for name, value in member.items() if name not in ("title", "description")}
    parameter: Schema = {"schema": _without_null(schema)}
    if "description" in member:
        parameter["description"] = member["description"]
    if parameter["schema"].get("type") == "array":
        parameter |= {"style": "form", "explode": False}
    return parameter


def _without_null(schema: Schema) -> Schema:
    """A parameter that was not given is None in the model, but cannot be null in a URL."""
    variants = [v for v in schema.pop("anyOf", []) if v != {"type": "null"}]
    if schema.get("default", ...) is None or schema.get("default") == []:
        del schema["default"]
    return {**schema, **variants[0]} if variants else schema
