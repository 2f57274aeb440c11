"""Drafts for tests of the log."""

from uuid import UUID

from uuid_utils.compat import uuid7

from application.context import Context, IdempotencyKey
from application.event_log import Draft, StreamKey
from domain.event import Event
from domain.user.events import PreviousRole, UserRegistered, UserRoleChanged


def context(key: str | None = None, request: bytes = b"request", actor: str = "token:t") -> Context:
    idempotency = IdempotencyKey(key, request) if key is not None else None
    return Context(actor=actor, correlation_id="test", idempotency=idempotency)


def registration(
    stream: UUID | None = None,
    *,
    email: str = "",
    key: str | None = None,
    name: str = "Åsa Öberg",
    request: bytes = b"request",
) -> Draft:
    """A new user, with a claim on the address where one is given."""
    stream = stream or uuid7()
    event = UserRegistered(name=name, email=email or f"{stream}@example.com", role="member")
    return Draft(
        kind="user",
        stream=stream,
        after_version=0,
        events=(event,),
        context=context(key, request),
        take=(("email", email),) if email else (),
        status=201,
    )


def change(
    stream: UUID,
    after_version: int,
    *events: Event,
    sealed_with: StreamKey | None = None,
    key: str | None = None,
    take: tuple[tuple[str, str], ...] = (),
    release: tuple[tuple[str, str], ...] = (),
) -> Draft:
    """A change of a stream; without events, a change of role."""
    return Draft(
        kind="user",
        stream=stream,
        after_version=after_version,
        events=events or (UserRoleChanged(role="owner", previous=PreviousRole(role="member")),),
        context=context(key),
        key=sealed_with,
        take=take,
        release=release,
    )
