"""Signing in through the OIDC issuer: away to it, and back from it."""

from typing import Final
from urllib.parse import parse_qsl

from fastapi import Request, Response

from application.access.oidc import (
    LOGIN_SECONDS,
    LoginAnswer,
    LoginNotBegun,
    LoginRefused,
    OidcLogin,
)
from interfaces.http.endpoint.call import Query
from interfaces.http.endpoint.operation import operation
from interfaces.http.endpoint.services import Services
from interfaces.http.protocol.headers import is_visible_ascii
from interfaces.http.protocol.refusals import (
    MalformedRequest,
    NotFound,
    SignInNotBegun,
    SignInRefused,
)
from interfaces.http.protocol.session_cookie import cookie
from interfaces.http.routes.signin import CONSOLE, TAG, origin_of, signed_in
from interfaces.presented import session_cookie_in

LOGIN_COOKIE: Final = "rollbook_login"
CALLBACK: Final = "/auth/callback"

_MAX_LENGTH: Final = 4096
_MAX_PARAMETERS: Final = 50
_READ: Final = frozenset({"state", "code", "iss", "error"})


@operation(
    "GET",
    "/auth/login",
    tag=TAG,
    summary="Sign in through the OIDC issuer: the answer sends the browser there",
    answers=None,
    status=302,
    headers=(),
    problems=("not-found", "unavailable"),
    answer_headers=("Location",),
)
async def begin_oidc_login(call: Query[None]) -> Response:
    """404 if no issuer, or no client of it, is configured. The browser gets a sealed cookie, which the
    issuer's answer needs within 10 minutes.
    """
    login, former = _login(call.services), session_cookie_in(call.request.scope)
    begun = await login.begin(origin_of(call.request, call.services) + CALLBACK, former)
    headers = {
        "Location": begun.url,
        "Cache-Control": "no-store",
        "Set-Cookie": _login_cookie(call.request, begun.attempt, LOGIN_SECONDS),
    }
    return Response(status_code=302, headers=headers)


@operation(
    "GET",
    CALLBACK,
    tag=TAG,
    summary="The issuer's answer to a sign-in: a session begins",
    answers=None,
    status=303,
    headers=(),
    problems=("malformed-request", "unauthenticated", "not-found", "unavailable"),
    answer_headers=("Location",),
)
async def finish_oidc_login(call: Query[None]) -> Response:
    """The issuer sends the browser here, with `state` and `code`. The browser goes on to `/console/`, and
    never elsewhere. No answer repeats what the address says.
    """
    request, services = call.request, call.services
    login = _login(services)
    answer = _answer_in(request)
    try:
        finished = await login.finish(request.cookies.get(LOGIN_COOKIE, ""), answer)
    except LoginNotBegun as error:
        raise SignInNotBegun from error
    except LoginRefused as error:
        # The attempt has ended: the same answer is not tried again.
        raise SignInRefused({"Set-Cookie": _login_cookie(request, "", 0)}) from error
    former = session_cookie_in(request.scope) or finished.former
    session = await services.sessions.start(finished.principal, former=former)
    response = Response(status_code=303, headers=signed_in(request, session))
    response.headers["Location"] = CONSOLE
    response.headers.append("Set-Cookie", _login_cookie(request, "", 0))
    return response


def _login(services: Services) -> OidcLogin:
    if services.oidc is None:
        raise NotFound("No sign-in through an OIDC issuer is configured.")
    return services.oidc


def _answer_in(request: Request) -> LoginAnswer:
    """Issuers may add parameters of their own. Raises `MalformedRequest`, which repeats nothing."""
    try:
        sent = parse_qsl(
            request.scope["query_string"].decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MAX_PARAMETERS,
        )
    except ValueError:
        raise MalformedRequest("The query string is malformed.") from None
    read = [(name, value) for name, value in sent if name in _READ]
    values = dict(read)
    if len(values) < len(read) or not all(is_visible_ascii(each, _MAX_LENGTH) for _, each in read):
        raise MalformedRequest("The issuer's answer is malformed.")
    if "state" not in values or ("code" in values) == ("error" in values):
        raise MalformedRequest("The issuer's answer needs a state, and either a code or an error.")
    return LoginAnswer(values["state"], values.get("code"), values.get("iss"))


def _login_cookie(request: Request, value: str, seconds: int) -> str:
    """`Lax`, because the issuer's page leads to the callback; a form of another site does not."""
    return cookie(request, LOGIN_COOKIE, value, seconds, path=CALLBACK, same_site="Lax")
