"""Reasons to refuse a request before the application is called."""

from collections.abc import Sequence

from msgspec import Struct

from application.identity import Permission
from application.jobs.model import FINISHED, JobState


class FieldError(Struct, frozen=True):
    """`pointer` is a JSON pointer (`#/email`), or the name of a parameter or header."""

    pointer: str
    detail: str


class Refusal(Exception):
    """The request cannot be answered; each docstring is the message."""

    def __str__(self) -> str:
        return type(self).__doc__ or type(self).__name__


class Unauthenticated(Refusal):
    """Send a token: `Authorization: Bearer <token>`."""


class InvalidToken(Unauthenticated):
    """The token is not known, or not valid any more."""


class Forbidden(Refusal):
    """The token lacks a permission."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission
        super().__init__(permission)

    def __str__(self) -> str:
        return f"This needs the permission {self.permission}."


class NotAcceptable(Refusal):
    """The Accept header rules out the format of the answer."""

    def __init__(self, formats: Sequence[str]) -> None:
        self.formats = formats
        super().__init__(formats)

    def __str__(self) -> str:
        return f"The answer is {' or '.join(self.formats)}, which the Accept header rules out."


class TooLarge(Refusal):
    """The body is larger than 1 MiB."""


class UnsupportedMediaType(Refusal):
    """The body is in a format that is not understood here."""

    def __init__(self, accepted: Sequence[str]) -> None:
        self.accepted = accepted
        super().__init__(accepted)

    def __str__(self) -> str:
        return f"Send the body as {' or '.join(self.accepted)}, in UTF-8 and not compressed."


class MalformedRequest(Refusal):
    """The request breaks the syntax of its format."""

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(detail)

    def __str__(self) -> str:
        return self.detail


class InvalidRequest(Refusal):
    """Some values are not acceptable."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = errors
        super().__init__(errors)


class NotFound(Refusal):
    """There is nothing here."""


class NoResult(NotFound):
    """The job has no result."""

    def __init__(self, state: JobState) -> None:
        self.state = state
        super().__init__(state)

    def __str__(self) -> str:
        later = "" if self.state in FINISHED else " yet"
        return f"The job has no result{later}: its state is {self.state}."


class FileExpired(NotFound):
    """The file was kept for 24 hours after the export ended; ask for it again."""


class NoPreviousGeneration(NotFound):
    """No former generation of it is kept."""
