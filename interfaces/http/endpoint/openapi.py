"""An operation in the OpenAPI document: it follows from what the operation declares."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from pydantic import TypeAdapter

from application.queries.resources import User
from interfaces.http.endpoint.auth import ON_BEHALF_OF
from interfaces.http.endpoint.limits import COUNTED
from interfaces.http.endpoint.operation import Operation
from interfaces.http.protocol.consistency import MIN_POSITION, POSITION
from interfaces.http.protocol.idempotency import IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED
from interfaces.http.protocol.preconditions import IF_MATCH, IF_NONE_MATCH
from interfaces.http.protocol.problems import PROBLEMS, ProblemType, Slug

Schema = dict[str, Any]

REF: Final = "#/components/schemas/{name}"
_ON_EVERY_ANSWER: Final = ("X-Request-ID", "Rollbook-Version")
_LIMITS: Final = ("RateLimit-Policy", "RateLimit")
_ON_PROBLEMS: Final[Mapping[int, tuple[str, ...]]] = {
    401: ("WWW-Authenticate",),
    409: ("Retry-After",),
    429: ("Retry-After", *_LIMITS),
    503: ("Retry-After",),
}

_BY_HEADER: Final[Mapping[str, tuple[Slug, ...]]] = {
    MIN_POSITION: ("view-behind", "unavailable"),
    IDEMPOTENCY_KEY: ("outcome-unknown", "conflict", "idempotency-mismatch"),
    # Only the log records it; a repeat cannot show a user that was erased meanwhile.
    ON_BEHALF_OF: ("user-erased", "overloaded"),
    IF_MATCH: ("version-conflict",),
}


def described(operation: Operation) -> Schema:
    """The operation in the document; answers and problems follow from what it declares."""
    found: Schema = {
        "security": operation.admission.security,
        "parameters": [
            *_path_parameters(operation.path),
            *_query_parameters(operation.takes),
            *(
                {"$ref": f"#/components/parameters/{name}"}
                for name in (*operation.headers, "X-Request-ID")
            ),
        ],
        "responses": {
            str(operation.status): answer(
                operation.summary, operation.answers, _answer_headers(operation)
            ),
            **_problem_answers(operation),
            **operation.responses,
        },
    }
    if operation.method == "GET" and IF_NONE_MATCH in operation.headers:
        headers = _answer_headers(operation)
        found["responses"]["304"] = answer("The client has the current version.", None, headers)
    if operation.body is not None:
        body = {"schema": {"$ref": REF.format(name=operation.body.json_schema()["title"])}}
        found["requestBody"] = {
            "required": operation.body_required,
            "content": dict.fromkeys(operation.accepts, body),
        }
    return found


def answer(
    description: str, body: type[Struct] | None = None, headers: Iterable[str] = ()
) -> Schema:
    response: Schema = {"description": description, "headers": _headers(headers)}
    if body is not None:
        schema = {"$ref": REF.format(name=body.__name__)}
        response["content"] = {"application/json": {"schema": schema}}
    return response


def _answer_headers(operation: Operation) -> list[str]:
    headers = operation.headers
    is_command = IDEMPOTENCY_KEY in headers
    return [
        *[POSITION] * (MIN_POSITION in headers or is_command),
        *[IDEMPOTENCY_REPLAYED] * is_command,
        *["ETag"] * (operation.answers is User),
        *["Location"] * (operation.status in (201, 202) and is_command and not operation.secrets),
        *operation.answer_headers,
        *(_LIMITS if operation.path.startswith(COUNTED) else ()),
    ]


def _problems(operation: Operation) -> set[Slug]:
    """Each check of the operation, and each thing that it reaches, may fail in its own way."""
    causes: Sequence[tuple[object, tuple[Slug, ...]]] = (
        (True, ("internal",)),
        (operation.admission.security, ("unauthenticated", "forbidden")),
        (operation.path.startswith(COUNTED), ("rate-limited",)),
        (operation.takes, ("malformed-request", "invalid-request")),
        (operation.formats, ("not-acceptable",)),
        (operation.body, ("too-large", "unsupported-media-type", "unavailable")),
        ("{" in operation.path, ("not-found",)),
        *((name in operation.headers, slugs) for name, slugs in _BY_HEADER.items()),
    )
    return {*operation.problems, *(slug for cause, slugs in causes if cause for slug in slugs)}


def _problem_answers(operation: Operation) -> Schema:
    """One response for each status, naming the problems it may be."""
    by_status: dict[int, list[ProblemType]] = {}
    possible = _problems(operation)
    for problem in PROBLEMS.values():
        if problem.slug in possible:
            by_status.setdefault(problem.status, []).append(problem)
    return {
        str(status): {
            "description": "; ".join(f"`{each.slug}`: {each.title}" for each in same),
            "headers": _headers(_ON_PROBLEMS.get(status, ())),
            "content": {
                "application/problem+json": {"schema": {"$ref": REF.format(name="Problem")}}
            },
        }
        for status, same in by_status.items()
    }


def _path_parameters(path: str) -> list[Schema]:
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


def _query_parameters(takes: TypeAdapter[Any] | None) -> list[Schema]:
    """Each field of a model of query parameters; several values are a comma list."""
    schema = takes.json_schema() if takes else {}
    return [
        {"name": name, "in": "query", **_parameter(member)}
        for name, member in schema.get("properties", {}).items()
    ]


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
