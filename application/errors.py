"""What can go wrong between a command and the log; each docstring is the message."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from domain.errors import DomainError


class ApplicationError(DomainError):
    """The request could not be carried out."""


class ClaimTaken(ApplicationError):
    """Another user holds this value."""

    def __init__(self, scope: str, holder: UUID | None = None) -> None:
        self.scope = scope
        self.holder = holder
        super().__init__(scope)


class VersionConflict(ApplicationError):
    """The stream moved on since it was read."""


class KeySeen(ApplicationError):
    """The idempotency key was used before."""


class InProgress(ApplicationError):
    """Another request with this idempotency key is still being carried out."""


class IdempotencyMismatch(ApplicationError):
    """The idempotency key was used before, with another request."""


class PreconditionFailed(ApplicationError):
    """It is not at a version that the request allows."""

    def __init__(self, version: int) -> None:
        self.version = version
        super().__init__(version)


class UserGone(ApplicationError):
    """The user was deleted or erased."""

    def __init__(self, status: Literal["deleted", "erased"], version: int, since: datetime) -> None:
        self.status: Literal["deleted", "erased"] = status
        self.version = version
        self.since = since
        super().__init__(status, version, since)


class NoSuchState(ApplicationError):
    """The user exists, but not at that version or time."""

    def __init__(self, last_version: int, registered_at: datetime) -> None:
        self.last_version = last_version
        self.registered_at = registered_at
        super().__init__(last_version, registered_at)

    def __str__(self) -> str:
        versions = "version 1" if self.last_version == 1 else f"versions 1 to {self.last_version}"
        moment = f"{self.registered_at:%Y-%m-%dT%H:%M:%S.%fZ}"
        return f"The user has {versions}, and was registered at {moment}."


class Contended(ApplicationError):
    """Other commands kept changing it; try again."""


class Overloaded(ApplicationError):
    """Too many commands are waiting; nothing was recorded."""


class Unavailable(ApplicationError):
    """The event store cannot be reached; nothing was recorded."""


class DiskFull(Unavailable):
    """Postgres cannot write, because its disk is full; nothing was recorded."""


class MasterKeyMissing(Unavailable):
    """This process lacks a master key that the request needs; nothing was recorded."""


class StreamUnreadable(Unavailable):
    """An event of this user cannot be read; nothing was recorded."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    def __str__(self) -> str:
        return f"{self.__doc__} {self.reason}"


class OutcomeUnknown(ApplicationError):
    """The event store did not answer in time; repeat with the same Idempotency-Key."""


class ViewBehind(ApplicationError):
    """The view has not reached the asked position yet."""

    def __init__(self, position: int) -> None:
        self.position = position
        super().__init__(position)


class PositionAhead(ApplicationError):
    """The asked position is above the head of the log."""

    def __init__(self, head: int) -> None:
        self.head = head
        super().__init__(head)


class PositionGone(ApplicationError):
    """No position of this log lies here: the log was restored; go on after `resume_after`."""

    def __init__(self, resume_after: int) -> None:
        self.resume_after = resume_after
        super().__init__(resume_after)


class NotRunning(Exception):
    """No process does a part of the work; the message says which, and what waits for it."""


class Degraded(Exception):
    """A part does its work, but an operator should look at it; the message says why."""
