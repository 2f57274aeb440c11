"""What no schema can say: which texts are names, and which answers depend on what was there."""

import re
from typing import Any, Final

from hypothesis import strategies as st

import schemathesis
from domain.errors import InvalidValue
from domain.values import EmailAddress, PersonName, parse_reason
from interfaces.http.protocol.fields import parse_uuid
from schemathesis import Case, HookContext, Response
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.openapi.checks import RejectedPositiveData

_TAGS: Final = re.compile(r'\*|(W/)?"[!#-~]*"(, (W/)?"[!#-~]*")*')

# Refused for what others did before: the user, its version, the key, the log. Valid requests are,
# and so are those whose values would break a rule: what was there is looked at first.
BY_WHAT_WAS_THERE: Final = frozenset(
    {
        "/problems/idempotency-mismatch",
        "/problems/position-gone",
        "/problems/user-deleted",
        "/problems/user-erased",
        "/problems/version-conflict",
    }
)
# A cursor is a server's own, a position no higher than its log, and `at` excludes `version`.
BY_WHAT_IS_KNOWN: Final = frozenset({"after", "cursor", "Rollbook-Min-Position", "version"})
UNKNOWN_HEADER: Final = "in header - object with unexpected properties"
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
schemathesis.openapi.format("entity-tags", st.from_regex(_TAGS, fullmatch=True))


_living: list[str] = []


def _is_beyond_schemas(error: dict[str, str]) -> bool:
    if error["pointer"] == "#/attributes":
        return "levels deep" in error["detail"] or "bytes as JSON" in error["detail"]
    return error["pointer"] in BY_WHAT_IS_KNOWN


def _by_what_was_there(response: Response) -> bool:
    return response.status_code >= 400 and response.json()["type"] in BY_WHAT_WAS_THERE


@schemathesis.hook  # pyright: ignore[reportUnknownMemberType]
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Nobody waits for half a minute here, and most users that are asked about live."""
    waits = str((case.query or {}).get("wait", ""))
    if waits.isdecimal() and MAX_SECONDS < int(waits) <= 30:
        case.query["wait"] = str(MAX_SECONDS)
    meta = case.meta
    chosen = meta is not None and meta.phase.name.value in ("coverage", "fuzzing")
    user = (case.path_parameters or {}).get("user_id", "")
    if chosen and _living and _parses(parse_uuid, str(user)) and user not in _living:
        case.path_parameters["user_id"] = _living[-1]


@schemathesis.hook  # pyright: ignore[reportUnknownMemberType]
def after_call(context: HookContext, case: Case[Any], response: Response) -> None:
    """Know who lives."""
    if case.path == "/v1/users" and response.status_code == 201:
        _living.append(response.json()["id"])
    elif response.status_code in (200, 202, 204) and (
        case.method == "DELETE" or case.path.endswith("/erase")
    ):
        gone = str(case.path_parameters.get("user_id", ""))
        _living[:] = [user for user in _living if user != gone]


@schemathesis.hook  # pyright: ignore[reportUnknownMemberType]
def filter_failure(
    context: HookContext, failure: Failure, case: Case[Any], response: Response
) -> bool:
    """Whether it is one: not where a rule outside the schemas explains the answer."""
    match failure:
        case RejectedPositiveData():
            errors = response.json().get("errors", [])
            return not (
                _by_what_was_there(response)
                or (errors and all(_is_beyond_schemas(error) for error in errors))
            )
        case AcceptedNegativeData():
            # HTTP lets a client send any header; who does not know it passes over it.
            return not (failure.message.endswith(UNKNOWN_HEADER) or _by_what_was_there(response))
        case _:
            return True
