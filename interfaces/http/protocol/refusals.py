"""Reasons to refuse a request before the application is called."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Self

from msgspec import Struct

from application.identity import Permission
from application.jobs.model import FINISHED, JobState
from interfaces.http.protocol.problems import Slug

_NOTHING: Final[Mapping[str, Any]] = {}


class FieldError(Struct, frozen=True):
    """`pointer` is a JSON pointer (`#/email`), or the name of a parameter or header."""

    pointer: str
    detail: str


class Refusal(Exception):
    """The request cannot be answered; the docstring is the message, if no `detail` is given.

    `facts` become members of the problem.
    """

    slug: ClassVar[Slug]

    def __init__(
        self,
        detail: str | None = None,
        facts: Mapping[str, Any] = _NOTHING,
        headers: Mapping[str, str] = _NOTHING,
    ) -> None:
        self.facts = facts
        self.headers = headers
        super().__init__(detail or type(self).__doc__)


class Unauthenticated(Refusal):
    """Send a token: `Authorization: Bearer <token>`."""

    slug = "unauthenticated"

    def __init__(self, error: str = "") -> None:
        # RFC 6750, section 3: the challenge names an error only if a token was sent.
        super().__init__(headers={"WWW-Authenticate": f'Bearer realm="rollbook"{error}'})


class InvalidToken(Unauthenticated):
    """The token is not known, or not valid any more."""

    def __init__(self) -> None:
        super().__init__(', error="invalid_token"')


class InvalidLink(Unauthenticated):
    """The sign-in link is not valid: it was used, it is older than 10 minutes, or its token ended."""


class Forbidden(Refusal):
    """The token lacks a permission."""

    slug = "forbidden"

    def __init__(self, permission: Permission) -> None:
        super().__init__(f"This needs the permission {permission}.", {"permission": permission})


class SignInRefused(Unauthenticated):
    """The OIDC issuer did not confirm the sign-in; begin again."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__()
        self.headers = {**self.headers, **headers}


class CrossSite(Refusal):
    """A page of another site sent this request with a browser."""

    slug = "forbidden"


class NeedsToken(Refusal):
    """This needs a token of Rollbook: a session or a JWT is not enough."""

    slug = "forbidden"


class NotAcceptable(Refusal):
    """The Accept header rules out the format of the answer."""

    slug = "not-acceptable"

    def __init__(self, formats: Sequence[str]) -> None:
        named = " or ".join(formats)
        super().__init__(f"The answer is {named}, which the Accept header rules out.")


class TooLarge(Refusal):
    """The body is larger than 1 MiB."""

    slug = "too-large"


class UnsupportedMediaType(Refusal):
    """The body is in a format that is not understood here."""

    slug = "unsupported-media-type"

    def __init__(self, accepted: Sequence[str]) -> None:
        super().__init__(
            f"Send the body as {' or '.join(accepted)}, in UTF-8 and not compressed.",
            {"accepted": accepted},
            {"Accept": ", ".join(accepted)},
        )


class MalformedRequest(Refusal):
    """The request breaks the syntax of its format."""

    slug = "malformed-request"


class SignInNotBegun(MalformedRequest):
    """This browser has not begun this sign-in, or more than 10 minutes ago; begin again."""


class InvalidRequest(Refusal):
    """Some values are not acceptable."""

    slug = "invalid-request"

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = errors
        super().__init__(facts={"errors": errors})

    @classmethod
    def at(cls, pointer: str, detail: str) -> Self:
        """One value is not acceptable: see `FieldError`."""
        return cls([FieldError(pointer, detail)])


class NotFound(Refusal):
    """There is nothing here."""

    slug = "not-found"


class NoResult(NotFound):
    """The job has no result."""

    def __init__(self, state: JobState) -> None:
        later = "" if state in FINISHED else " yet"
        super().__init__(f"The job has no result{later}: its state is {state}.")


class FileExpired(NotFound):
    """The file was kept for 24 hours after the export ended; ask for it again."""


class NoPreviousGeneration(NotFound):
    """No former generation of it is kept."""
