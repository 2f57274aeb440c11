"""Callers of every kind in a directory in memory: known ones of each preset, and unknown ones."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from application.access.ports import Presented
from application.access.sessions import NewSession
from application.identity import PRESETS, Permission, Principal
from tests.support.http.directory import Directory

SESSION: Final = "rollbook_session"
_OTHERS: Final[Mapping[str, frozenset[Permission]]] = {
    "nothing": frozenset(),
    "events": frozenset({"events:read"}),
    "audit": frozenset({"audit:read"}),
    "writes": frozenset({"users:write"}),
}


class Caller(Struct, frozen=True):
    """What a caller sends, and its principal; None if nobody knows it."""

    name: str
    headers: Mapping[str, str]
    principal: Principal | None


class InMemoryJwts:
    """See `BearerVerifier`: the tokens are those in `valid`."""

    def __init__(self) -> None:
        self.valid: dict[str, Principal] = {}

    def known(self, token: str) -> Principal | None:
        return None

    async def principal(self, token: str) -> Principal | None:
        return self.valid.get(token)


def new_directory() -> tuple[Directory, InMemoryJwts]:
    """A directory that takes tokens, sessions and JWTs."""
    jwts = InMemoryJwts()
    return Directory(jwts=jwts), jwts


async def every_caller(directory: Directory, jwts: InMemoryJwts) -> list[Caller]:
    """Tokens, sessions and JWTs with each set of permissions, and what names no caller."""
    callers = list[Caller]()
    for name, permissions in {**PRESETS, **_OTHERS}.items():
        base = Principal(actor=f"token:{name}", permissions=permissions)
        directory.tokens.add(f"token-{name}", base)
        callers.append(Caller(f"token {name}", bearer(f"token-{name}"), base))
        session = await new_session(directory, base)
        callers.append(Caller(f"session {name}", cookie(session), replace(base, kind="session")))
        jwt = replace(base, actor=f"user:{name}", kind="oidc")
        jwts.valid[f"jwt.{name}.signed"] = jwt
        callers.append(Caller(f"oidc {name}", bearer(f"jwt.{name}.signed"), jwt))
    admin = Principal(actor="token:ended", permissions=PRESETS["admin"])
    past = datetime.now(UTC) - timedelta(seconds=1)
    directory.tokens.add("expired", replace(admin, expires_at=past))
    expired, living = await new_session(directory, admin, past), await new_session(directory, admin)
    ended = await _ended(directory, admin)
    unknown = {
        "no token": {},
        "an empty token": bearer(""),
        "another scheme": {"Authorization": "Basic YWRtaW46YWRtaW4="},
        "a token in two headers": {"Authorization": "Bearer token-admin, Bearer token-admin"},
        "an unknown token": bearer("unknown"),
        "a token without the form": bearer("unknown.form"),
        "a token that is no ASCII": bearer("t\u00f6ken"),
        "a JWT that is not of the issuer": bearer("jwt.other.signed"),
        "a revoked token": bearer("revoked"),
        "an expired token": bearer("expired"),
        "a token as a cookie": cookie("token-admin"),
        "a cookie as a token": bearer(living),
        "an unknown cookie": cookie("unknown"),
        "an empty cookie": cookie(""),
        "a session that was ended": cookie(ended),
        "an expired session": cookie(expired),
        # The header alone counts: a page cannot add a cookie to a wrong token.
        "a wrong token with a cookie": {**bearer("unknown"), **cookie(living)},
    }
    callers += [Caller(name, headers, None) for name, headers in unknown.items()]
    return callers


def bearer(secret: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def cookie(secret: str) -> Mapping[str, str]:
    return {"Cookie": f"other=1; {SESSION}={secret}"}


async def new_session(
    directory: Directory, principal: Principal, until: datetime | None = None
) -> str:
    """The cookie of a new session with the permissions of the principal."""
    asked = NewSession(
        actor=principal.actor,
        permissions=principal.permissions,
        name=principal.name,
        via="token",
        until=until,
    )
    return (await directory.sessions.start(asked, None)).secret


async def _ended(directory: Directory, admin: Principal) -> str:
    """The token `revoked` and the cookie returned were admitted before, and then ended."""
    directory.tokens.add("revoked", admin)
    secret = await new_session(directory, admin)
    for presented in (Presented("bearer", "revoked"), Presented("session", secret)):
        assert await directory.callers.of(presented) is not None
    directory.tokens.revoke("revoked")
    credential = directory.sessions.credential(secret)
    assert credential is not None
    await directory.sessions.end(credential)
    await directory.callers.check()
    return secret
