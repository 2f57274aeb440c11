"""Errors as problems: the only place that maps errors to answers."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Match

from application.errors import (
    ClaimTaken,
    Contended,
    DiskFull,
    IdempotencyMismatch,
    InProgress,
    KeySeen,
    MasterKeyMissing,
    NoSuchState,
    OutcomeUnknown,
    Overloaded,
    PositionAhead,
    PositionGone,
    PreconditionFailed,
    StreamUnreadable,
    Unavailable,
    UserGone,
    VersionConflict,
    ViewBehind,
)
from application.timestamps import timestamp
from domain.errors import (
    TokenNotFound,
    UserAlreadyExists,
    UserNotFound,
    WebhookNotFound,
    WebhookUnreadable,
)
from interfaces.http.endpoint.auth import principal_of
from interfaces.http.protocol.problems import PROBLEMS, Slug, type_uri
from interfaces.http.protocol.refusals import FieldError, Refusal

PROBLEM_TYPE: Final = "application/problem+json"

_SLUGS: Final[Mapping[type[Exception], Slug]] = {
    Contended: "conflict",
    DiskFull: "unavailable",
    IdempotencyMismatch: "idempotency-mismatch",
    InProgress: "conflict",
    KeySeen: "conflict",
    MasterKeyMissing: "unavailable",
    NoSuchState: "not-found",
    OutcomeUnknown: "outcome-unknown",
    Overloaded: "overloaded",
    PositionAhead: "invalid-request",
    PositionGone: "position-gone",
    PreconditionFailed: "version-conflict",
    StreamUnreadable: "unavailable",
    TokenNotFound: "not-found",
    Unavailable: "unavailable",
    UserAlreadyExists: "user-exists",
    UserNotFound: "not-found",
    VersionConflict: "conflict",
    ViewBehind: "view-behind",
    WebhookNotFound: "not-found",
    WebhookUnreadable: "unavailable",
}
_BY_STATUS: Final[Mapping[int, Slug]] = {
    404: "not-found",
    405: "method-not-allowed",
}


async def answer_error(request: Request, error: Exception) -> Response:
    """The answer to an error that is part of the contract; any other is raised again."""
    slug = _slug(error)
    if slug is None:
        raise error
    return problem(slug, _detail(error, slug), _facts(error, request), _headers(error, request))


def problem(
    slug: Slug,
    detail: str,
    facts: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A problem of RFC 9457; facts become members beside the standard ones."""
    kind = PROBLEMS[slug]
    members = {
        "type": type_uri(slug),
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        **(facts or {}),
    }
    headers = dict(headers or {})
    if kind.retry_after is not None:
        headers.setdefault("Retry-After", str(kind.retry_after))
    return Response(msgspec.json.encode(members), kind.status, headers, PROBLEM_TYPE)


def _slug(error: Exception) -> Slug | None:
    match error:
        case Refusal():
            return error.slug
        case ClaimTaken():
            return "email-taken" if error.scope == "email" else "external-id-taken"
        case UserGone():
            return "user-deleted" if error.status == "deleted" else "user-erased"
        case HTTPException():
            return _BY_STATUS.get(error.status_code)
        case _:
            # The nearest class: an error may be a special case of one that has a slug.
            return next((_SLUGS[each] for each in type(error).__mro__ if each in _SLUGS), None)


def _detail(error: Exception, slug: Slug) -> str:
    """The error's message; for errors of the router and for `UserGone`, the title."""
    has_message = not isinstance(error, HTTPException | UserGone)
    return str(error) if has_message else f"{PROBLEMS[slug].title}."


def _facts(error: Exception, request: Request) -> Mapping[str, Any] | None:
    match error:
        case Refusal():
            return error.facts
        case PositionAhead():
            ahead = FieldError("Rollbook-Min-Position", str(error))
            return {"errors": [ahead], "head": error.head}
        case UserGone():
            return {"version": error.version, "since": timestamp(error.since)}
        case ClaimTaken():
            principal = principal_of(request)
            may_know = principal is not None and principal.may("admin")
            return {"holder": error.holder} if may_know and error.holder else None
        case NoSuchState():
            return {"version": error.last_version, "created_at": timestamp(error.registered_at)}
        case PreconditionFailed():
            return {"version": error.version}
        case PositionGone():
            return {"resume_after": error.resume_after}
        case ViewBehind():
            return {"position": error.position}
        case _:
            return None


def _headers(error: Exception, request: Request) -> Mapping[str, str] | None:
    match error:
        case Refusal():
            return error.headers
        case HTTPException(status_code=405):
            return {"Allow": ", ".join(_methods_at(request))}
        case _:
            return None


def _methods_at(request: Request) -> list[str]:
    """The methods of all routes for this path."""
    app: FastAPI = request.app
    methods: set[str] = set()
    for route in app.routes:
        if isinstance(route, APIRoute) and route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    return sorted(methods | {"HEAD"} if "GET" in methods else methods)
