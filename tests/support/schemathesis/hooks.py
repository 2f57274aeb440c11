"""Rules that the document cannot express: which texts are names, what the values of attributes are,
and which answers depend on state."""

import re
from typing import Any, Final

import schemathesis
from hypothesis import strategies as st
from schemathesis import Case, HookContext, Response
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.openapi.checks import RejectedPositiveData

from domain.attributes import MAX_NUMBER
from domain.errors import InvalidValue
from domain.values import EmailAddress, PersonName, parse_reason
from interfaces.http.protocol.fields import parse_uuid
from interfaces.http.protocol.json_schemas import JSON_KEY, TEXT

_TAGS: Final = re.compile(r'\*|(W/)?"[!#-~]*"(, (W/)?"[!#-~]*")*')

# Refusals because of state: the user, its version, the key, the log. The server checks this state
# first, so valid and invalid requests get these answers.
BY_STATE: Final = frozenset(
    {
        "/problems/idempotency-mismatch",
        "/problems/position-gone",
        "/problems/user-deleted",
        "/problems/user-erased",
        "/problems/version-conflict",
    }
)
# A cursor must come from the server, a position must be in its log (`after`, `until`), a webhook needs
# a public target (`#/url`), a token expires in the future (`#/expires_at`), `at` excludes `version`, and
# `id` excludes `import_key`. Only the former generation can serve again (`#/to`), only the first
# parked event can be skipped (`#/version`), no projection of the release can be dropped (`name`),
# and a search in an export has a word (`#/filters/q`).
BEYOND_SCHEMAS: Final = frozenset(
    {
        "#/after",
        "#/expires_at",
        "#/filters/q",
        "#/import_key",
        "#/to",
        "#/until",
        "#/url",
        "#/version",
        "after",
        "cursor",
        "name",
        "Rollbook-Min-Position",
        "version",
    }
)
UNKNOWN_HEADER: Final = "in header - object with unexpected properties"
# A case that follows a link is called negative if its link's case was, though the generator itself
# says that no part of it is invalid.
NOTHING_INVALID: Final = "Invalid component: positive test case"
MAX_SECONDS: Final = 1


def _parses(parse: Any, text: str) -> bool:
    try:
        parse(text)
    except InvalidValue:
        return False
    return True


_READABLE: Final = st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"])
_LOCAL: Final = st.text("abcxyzABC019.+-_äßжﬁ", min_size=1, max_size=20)
_DOMAIN: Final = st.text("abcxyzABC019-äßж", min_size=1, max_size=20)

schemathesis.openapi.format(
    "person-name",
    st.text(_READABLE, min_size=1, max_size=40).filter(
        lambda text: _parses(PersonName.parse, text)
    ),
)
schemathesis.openapi.format(
    "reason", st.text(_READABLE, max_size=40).filter(lambda text: _parses(parse_reason, text))
)
schemathesis.openapi.format(
    "email",
    st.builds("{}@{}.example.org".format, _LOCAL, _DOMAIN).filter(
        lambda text: _parses(EmailAddress.parse, text)
    ),
)
schemathesis.openapi.format(
    "description", st.text(_READABLE, max_size=40).filter(lambda text: _parses(parse_reason, text))
)
# An address for documentation: it is refused without a look-up of a name.
schemathesis.openapi.format("webhook-url", st.just("https://192.0.2.1/in"))
schemathesis.openapi.format("entity-tags", st.from_regex(_TAGS, fullmatch=True))


# The document leaves it out, because generators of clients break on a schema that refers to itself.
_REF: Final = {"$ref": "#/components/schemas/JsonValue"}
_VALUE: Final = {
    "type": ["null", "boolean", "number", "string", "array", "object"],
    "minimum": -MAX_NUMBER,
    "maximum": MAX_NUMBER,
    "pattern": TEXT,
    "items": _REF,
    "propertyNames": JSON_KEY,
    "additionalProperties": _REF,
}
_existing_users: list[str] = []


def _is_beyond_schemas(error: dict[str, str]) -> bool:
    if error["pointer"] == "#/attributes":
        return "levels deep" in error["detail"] or "bytes as JSON" in error["detail"]
    return error["pointer"] in BEYOND_SCHEMAS


def _is_refused_by_state(response: Response) -> bool:
    return response.status_code >= 400 and response.json()["type"] in BY_STATE


@schemathesis.hook  # pyright: ignore[reportUnknownMemberType]
def before_load_schema(context: HookContext, raw_schema: dict[str, Any]) -> None:
    """Say which values attributes may have."""
    schemas = raw_schema["components"]["schemas"]
    schemas["JsonValue"] = _VALUE
    for body in ("RegisterBody", "ReplaceBody", "ChangeBody"):
        schemas[body]["properties"]["attributes"]["additionalProperties"] = _REF


@schemathesis.hook  # pyright: ignore[reportUnknownMemberType]
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Shorten long waits, and send most requests to users that exist."""
    waits = str((case.query or {}).get("wait", ""))
    if waits.isdecimal() and MAX_SECONDS < int(waits) <= 30:
        case.query["wait"] = str(MAX_SECONDS)
    meta = case.meta
    is_generated = meta is not None and meta.phase.name.value in ("coverage", "fuzzing")
    user = (case.path_parameters or {}).get("user_id", "")
    if (
        is_generated
        and _existing_users
        and _parses(parse_uuid, str(user))
        and user not in _existing_users
    ):
        case.path_parameters["user_id"] = _existing_users[-1]


@schemathesis.hook  # pyright: ignore[reportUnknownMemberType]
def after_call(context: HookContext, case: Case[Any], response: Response) -> None:
    """Record which users exist."""
    if case.path == "/v1/users" and response.status_code == 201:
        _existing_users.append(response.json()["id"])
    elif response.status_code in (200, 202, 204) and (
        case.method == "DELETE" or case.path.endswith("/erase")
    ):
        gone = str(case.path_parameters.get("user_id", ""))
        _existing_users[:] = [user for user in _existing_users if user != gone]


@schemathesis.hook  # pyright: ignore[reportUnknownMemberType]
def filter_failure(
    context: HookContext, failure: Failure, case: Case[Any], response: Response
) -> bool:
    """Whether a failure counts; it does not if a rule outside the schemas explains the answer."""
    match failure:
        case RejectedPositiveData():
            errors = response.json().get("errors", [])
            return not (
                _is_refused_by_state(response)
                or (errors and all(_is_beyond_schemas(error) for error in errors))
            )
        case AcceptedNegativeData():
            # HTTP lets a client send any header; a server ignores unknown headers.
            explained = failure.message.endswith((UNKNOWN_HEADER, NOTHING_INVALID))
            return not (explained or _is_refused_by_state(response))
        case _:
            return True
