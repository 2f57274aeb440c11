"""Signing in and out: a cookie for a browser, in return for a link or a token."""

from typing import Final

import msgspec
from fastapi import Request, Response

from application.access.links import local_name_from
from application.access.ports import Presented
from application.access.sessions import StartedSession
from application.identity import Principal
from application.timestamps import timestamp
from interfaces.http.endpoint.answers import resource
from interfaces.http.endpoint.auth import OPEN, Admission, admit
from interfaces.http.endpoint.call import Command, Nothing, Query
from interfaces.http.endpoint.operation import operation
from interfaces.http.endpoint.services import Services
from interfaces.http.protocol.body import JSON
from interfaces.http.protocol.refusals import (
    InvalidLink,
    InvalidToken,
    NeedsToken,
)
from interfaces.http.protocol.session_cookie import (
    refuse_cross_site,
    removed_cookie,
    session_cookie,
)
from interfaces.http.schemas.access import SignInBody, SignInLink, SignInLinkBody, SignInMethods
from interfaces.presented import session_cookie_in

TAG: Final = "Sign-in"
CONSOLE: Final = "/console/"

_FRAGMENT: Final = "#signin="
_NO_STORE: Final = {"Cache-Control": "no-store"}


async def _admit_own_site(services: Services, request: Request) -> Principal:
    refuse_cross_site(request, services.public_url)
    return await OPEN.admit(services, request)


async def _admit_token(services: Services, request: Request) -> Principal:
    caller = await admit(services, request, "admin")
    if caller.kind != "token":
        raise NeedsToken
    return caller


_WITH_TOKEN: Final = Admission(_admit_token, [{"bearer": ["admin"]}])
_OWN_SITE: Final = Admission(_admit_own_site, OPEN.security)


@operation(
    "POST",
    "/auth/links",
    tag=TAG,
    summary="Make a link that signs a person in: one use, within 10 minutes",
    answers=SignInLink,
    status=201,
    secrets=("url",),
    admission=_WITH_TOKEN,
)
async def create_signin_link(call: Command[SignInLinkBody]) -> Response:
    """The session gets the permissions of the token that makes the link, and ends with it. Sessions
    and OIDC users cannot make links: nobody can make a session outlast its origin.
    """
    caller, services = call.principal, call.services
    name = call.body.name or local_name_from(caller.name)
    link = await services.sessions.link(caller, name)
    url = f"{origin_of(call.request, services)}{CONSOLE}{_FRAGMENT}{link.code}"
    answer = SignInLink(url, timestamp(link.expires_at))
    return resource(answer, await call.log_position(), 201, _NO_STORE)


@operation(
    "POST",
    "/auth/signin",
    tag=TAG,
    summary="Sign in with a link or a token: the answer sets the cookie of a session",
    answers=None,
    status=204,
    headers=(),
    body_required=True,
    problems=("unauthenticated", "forbidden"),
    admission=_OWN_SITE,
)
async def sign_in(call: Command[SignInBody]) -> Response:
    """Send `code` or `token`. The session that the browser had before ends."""
    asked, services = call.body, call.services
    former = session_cookie_in(call.request.scope)
    if asked.code:
        session = await services.sessions.start_by_link(asked.code, former=former)
        if session is None:
            raise InvalidLink
    else:
        caller = await services.callers.of(Presented("bearer", asked.token))
        if caller is None:
            raise InvalidToken
        if caller.kind != "token":
            raise NeedsToken
        session = await services.sessions.start(caller, former=former)
    return Response(status_code=204, headers=signed_in(call.request, session))


@operation(
    "POST",
    "/auth/signout",
    tag=TAG,
    summary="Sign out: the session ends, and the cookie is removed",
    answers=None,
    status=204,
    headers=(),
    problems=("forbidden",),
    admission=_OWN_SITE,
)
async def sign_out(call: Command[Nothing]) -> Response:
    """Also without a session, or with one that has ended."""
    secret = session_cookie_in(call.request.scope)
    if secret is not None:
        credential = await call.services.sessions.end(secret)
        if credential is not None:
            call.services.callers.forget(credential)
    headers = {**_NO_STORE, "Set-Cookie": removed_cookie(call.request)}
    return Response(status_code=204, headers=headers)


@operation(
    "GET",
    "/auth/methods",
    tag=TAG,
    summary="See how a person can sign in",
    answers=SignInMethods,
    headers=(),
)
async def list_signin_methods(call: Query[None]) -> Response:
    methods = SignInMethods(oidc=call.services.oidc is not None, token=True)
    return Response(msgspec.json.encode(methods), headers=_NO_STORE, media_type=JSON)


def signed_in(request: Request, session: StartedSession) -> dict[str, str]:
    """The headers of an answer that starts a session in the browser."""
    return {**_NO_STORE, "Set-Cookie": session_cookie(request, session.secret, session.seconds)}


def origin_of(request: Request, services: Services) -> str:
    """Where browsers find this Rollbook: the public URL, else the address of the request."""
    return (services.public_url or str(request.base_url)).rstrip("/")
