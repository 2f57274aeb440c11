"""The rules that can be broken; each docstring is the message, each attribute a fact."""


class DomainError(Exception):
    """A rule of the directory was broken."""

    def __str__(self) -> str:
        return type(self).__doc__ or type(self).__name__


class InvalidValue(DomainError):
    """The value is not acceptable."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    def __str__(self) -> str:
        return self.reason


class UserNotFound(DomainError):
    """There is no user with this id."""


class UserAlreadyExists(DomainError):
    """A user with this id or import key is registered already."""


class UserIsDeleted(DomainError):
    """The user is deleted; restore the user first."""


class UserIsErased(DomainError):
    """The user was erased for good."""


class WebhookNotFound(DomainError):
    """There is no webhook with this id."""


class WebhookAlreadyExists(DomainError):
    """A webhook with this id exists already."""


class WebhookUnreadable(DomainError):
    """The key of this webhook is lost; delete the webhook and create another."""


class TooManyWebhooks(DomainError):
    """There are 100 webhooks already; delete one first."""


class TokenNotFound(DomainError):
    """There is no token with this id."""


class TokenAlreadyExists(DomainError):
    """A token with this id exists already."""


class TokenExpired(DomainError):
    """This token has expired; create another."""


class TokenExpiryPast(DomainError):
    """Must be in the future."""


class TooManyTokens(DomainError):
    """There are 10,000 tokens already; revoke those that nothing uses."""
