"""The kinds of problem an answer can report, each with a page of its own (RFC 9457)."""

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

Slug = Literal[
    "malformed-request",
    "unauthenticated",
    "forbidden",
    "not-found",
    "method-not-allowed",
    "not-acceptable",
    "email-taken",
    "external-id-taken",
    "user-exists",
    "conflict",
    "user-deleted",
    "user-erased",
    "position-gone",
    "version-conflict",
    "too-large",
    "unsupported-media-type",
    "invalid-request",
    "idempotency-mismatch",
    "rate-limited",
    "internal",
    "view-behind",
    "overloaded",
    "unavailable",
    "outcome-unknown",
]


class ProblemType(Struct, frozen=True):
    """`remedy` is what the caller can do; `retry_after` (seconds) goes into `Retry-After`."""

    slug: Slug
    status: int
    title: str
    remedy: str
    retry_after: int | None = None


_ALL: Final = (
    ProblemType(
        "malformed-request",
        400,
        "The request is malformed",
        "Correct the syntax that `detail` names. Bodies are JSON in UTF-8 without duplicate keys, "
        "NaN, U+0000, lone surrogates or numbers beyond ±2⁵³.",
    ),
    ProblemType(
        "unauthenticated",
        401,
        "Authentication is needed",
        "Send a valid token: `Authorization: Bearer <token>`.",
    ),
    ProblemType(
        "forbidden",
        403,
        "The permission is missing",
        "Use a token with the permission that `permission` names. Without that member, `detail` says "
        "why nobody may do this in this way.",
    ),
    ProblemType(
        "not-found",
        404,
        "Not found",
        "Check the address; at the time asked about there may be nothing there yet.",
    ),
    ProblemType(
        "method-not-allowed",
        405,
        "The method is not allowed here",
        "Use one of the methods in the `Allow` header.",
    ),
    ProblemType(
        "not-acceptable",
        406,
        "No acceptable format",
        "Accept `application/json`, or leave the `Accept` header out.",
    ),
    ProblemType(
        "email-taken",
        409,
        "The e-mail address is taken",
        "Another user has this address, perhaps in another spelling. Administrators see who in "
        "`holder`.",
    ),
    ProblemType(
        "external-id-taken",
        409,
        "The external id is taken",
        "Another user has this external id. Administrators see who in `holder`.",
    ),
    ProblemType(
        "user-exists",
        409,
        "The user exists",
        "A user with this id, or with the id of this import key, is registered already. Leave "
        "`id` and `import_key` out to get a new one.",
    ),
    ProblemType(
        "conflict",
        409,
        "Too many changes at once",
        "Others kept changing the same thing. Nothing was recorded; repeat the request after "
        "`Retry-After` seconds.",
        retry_after=1,
    ),
    ProblemType(
        "user-deleted",
        410,
        "The user is deleted",
        "The user went with `version` at `since`. `POST …/restore` brings the user back, `?at=` "
        "and `?version=` show the past.",
    ),
    ProblemType(
        "user-erased",
        410,
        "The user is erased",
        "The person's data went for good with `version` at `since`.",
    ),
    ProblemType(
        "position-gone",
        410,
        "The position is gone",
        "The log was restored, and this position is not part of it. Continue with "
        "`after` = `resume_after`.",
    ),
    ProblemType(
        "version-conflict",
        412,
        "The user has another version",
        "The user is at `version`. Read the user again, and decide again.",
    ),
    ProblemType("too-large", 413, "The body is too large", "Send at most 1 MiB."),
    ProblemType(
        "unsupported-media-type",
        415,
        "The media type is not supported",
        "Send one of the types in `accepted`, in UTF-8 and not compressed.",
    ),
    ProblemType(
        "invalid-request",
        422,
        "The request is invalid",
        "Each of `errors` names a field (`#/email`), a parameter or a header, and what is wrong "
        "with it.",
    ),
    ProblemType(
        "idempotency-mismatch",
        422,
        "The idempotency key belongs to another request",
        "The same key came before with another body or route. Use a new key for a new request.",
    ),
    ProblemType(
        "rate-limited",
        429,
        "Too many requests",
        "Repeat the request after `Retry-After` seconds.",
        retry_after=1,
    ),
    ProblemType(
        "internal",
        500,
        "Something went wrong",
        "This is a fault of the server. The log has details under the `X-Request-ID` of the "
        "answer. A command may be repeated with the same `Idempotency-Key`.",
    ),
    ProblemType(
        "view-behind",
        503,
        "The view is behind",
        "The view has come to `position` only. Repeat the query after `Retry-After` seconds.",
        retry_after=1,
    ),
    ProblemType(
        "overloaded",
        503,
        "Too many commands are waiting",
        "Nothing was recorded. Repeat the request after `Retry-After` seconds.",
        retry_after=1,
    ),
    ProblemType(
        "unavailable",
        503,
        "Not available at the moment",
        "`detail` says what, and why. Nothing was recorded. Repeat the request after `Retry-After` seconds.",
        retry_after=2,
    ),
    ProblemType(
        "outcome-unknown",
        503,
        "The outcome is unknown",
        "The command may have been recorded or not. Repeat it with the same `Idempotency-Key`: it "
        "is never applied twice.",
        retry_after=2,
    ),
)

PROBLEMS: Final[Mapping[Slug, ProblemType]] = {problem.slug: problem for problem in _ALL}


def type_uri(slug: Slug) -> str:
    return f"/problems/{slug}"
