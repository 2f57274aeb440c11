"""Drafts for tests of the log, and the streams and snapshots made from them."""

from collections.abc import Sequence
from uuid import UUID

from uuid_utils.compat import uuid7

from application.context import Context, IdempotencyKey
from application.log.event_log import Draft, DraftSnapshot, EventLog, StreamKey, StreamSnapshot
from domain.event import Event, Recorded
from domain.user.events import PreviousRole, UserErased, UserRegistered, UserRoleChanged


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
    """A new user; a given address is claimed."""
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
    destroy_key: bool = False,
    snapshot: DraftSnapshot | None = None,
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
        destroy_key=destroy_key,
        snapshot=snapshot,
    )


def erasure(stream: UUID, after_version: int) -> Draft:
    """The erasure that ends a stream and destroys its key."""
    return change(stream, after_version, UserErased(), destroy_key=True)


async def recorded_stream(
    log: EventLog, versions: int
) -> tuple[Sequence[Recorded[Event]], StreamKey]:
    """The events of a new stream, and its key."""
    stream = uuid7()
    await log.append(registration(stream))
    await log.append(change(stream, 1, *change(stream, 1).events * (versions - 1)))
    loaded = await log.load(stream)
    assert loaded.key is not None
    return loaded.events, loaded.key


def snapshot(
    events: Sequence[Recorded[Event]], version: int, form: str = "f", state: bytes = b"{}"
) -> StreamSnapshot:
    """A snapshot of a recorded stream at a version."""
    last = events[version - 1]
    return StreamSnapshot(
        stream=last.stream,
        format=form,
        version=version,
        position=last.position,
        created_at=events[0].recorded_at,
        recorded_at=last.recorded_at,
        state=state,
    )


async def store_snapshots(
    log: EventLog, snapshots: Sequence[StreamSnapshot], key: StreamKey
) -> None:
    """Store them without a command."""
    for made in snapshots:
        assert made.state is not None
        draft = Draft(
            kind="user",
            stream=made.stream,
            after_version=made.version,
            events=(),
            context=context(),
            key=key,
            snapshot=DraftSnapshot(made.format, made.state),
        )
        await log.append(draft)
