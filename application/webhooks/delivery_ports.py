"""The ports of webhook deliveries: the signed request, the check of a target, and the records."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from msgspec import Struct

from application.errors import ApplicationError

RefusalCode = Literal[
    "url-malformed",
    "scheme-not-allowed",
    "host-malformed",
    "port-malformed",
    "credentials-in-url",
    "address-not-public",
    "name-not-found",
]
"""Why a target is refused."""

SendError = Literal[
    RefusalCode,
    "timeout",
    "connection-failed",
    "connection-lost",
    "tls-failed",
    "answer-malformed",
    "answer-too-large",
]
"""Why an endpoint gave no answer."""


class TargetRefused(ApplicationError):
    """Rollbook sends nothing to this URL."""

    def __init__(self, code: RefusalCode, reason: str) -> None:
        self.code: RefusalCode = code
        self.reason = reason
        super().__init__(code, reason)

    def __str__(self) -> str:
        return self.reason


class TargetCheck(Protocol):
    async def check(self, url: str) -> None:
        """Check the URL and all addresses of its host now, within 10 s.

        Raises `TargetRefused`. A delivery checks again: the name may have other addresses then.
        """
        ...


class SignedBody(Struct, frozen=True, kw_only=True):
    """The content of one request, by Standard Webhooks.

    `message_id` is sent as `webhook-id`; `secrets` are `whsec_…`, and each of them signs.
    """

    message_id: str
    body: bytes
    secrets: Sequence[str]


class Answer(Struct, frozen=True, kw_only=True):
    """What an endpoint said: its HTTP status, or why there is none."""

    status: int | None = None
    error: SendError | None = None
    seconds: float

    @property
    def is_success(self) -> bool:
        """Whether the endpoint has accepted the request: any 2xx."""
        return self.status is not None and 200 <= self.status < 300


class Endpoint(Protocol):
    async def send(self, content: SignedBody) -> Answer:
        """POST the content; takes 10 s at most. A failure is an answer too: raises nothing."""
        ...


class WebhookSender(Protocol):
    def open(self, url: str) -> AbstractAsyncContextManager[Endpoint]:
        """An endpoint, whose connections are kept until the context ends. Raises nothing."""
        ...


class DeliveryState(Struct, frozen=True, kw_only=True):
    """How far the deliveries of a webhook are, as they are stored about once a second.

    Each event up to `position` was delivered, or belongs to a parked user. `delivered` and
    `failed` count attempts. `failing_since` and `next_attempt_at` are set while the endpoint
    counts as down. `parked` is counted up to 10,000.
    """

    position: int
    delivered: int
    failed: int
    last_success_at: datetime | None
    last_failure_at: datetime | None
    failing_since: datetime | None
    next_attempt_at: datetime | None
    parked: int


class Attempt(Struct, frozen=True, kw_only=True):
    """One request to an endpoint; it holds no personal data.

    `number` counts the requests of a webhook. `tries` is 1 for the first request with this event.
    """

    number: int
    event_id: UUID
    user: UUID
    position: int
    status: int | None
    error: str | None
    milliseconds: int
    at: datetime
    tries: int


class ParkedUser(Struct, frozen=True, kw_only=True):
    """A user whose deliveries wait; `position` is that of the first event not delivered.

    `error` is a `SendError` or the status, such as `http-500`. `next_attempt_at` is None if
    Rollbook tries no more until an operator retries.
    """

    user: UUID
    position: int
    tries: int
    error: str
    parked_at: datetime
    next_attempt_at: datetime | None


class DeliveryRecords(Protocol):
    """What is stored about deliveries. Each method raises `Unavailable`."""

    async def states(self) -> Mapping[UUID, DeliveryState]:
        """By webhook; without those that no worker has begun with."""
        ...

    async def attempts(self, webhook: UUID, before: int | None, limit: int) -> Sequence[Attempt]:
        """The newest first, with a number below `before` if given; the last 1,000 are kept."""
        ...


class ParkedUsers(Protocol):
    """The parked users of webhooks. Each method raises `Unavailable`."""

    async def parked(self, webhook: UUID, after: UUID | None, limit: int) -> Sequence[ParkedUser]:
        """In the order of user ids, after one of them if given."""
        ...

    async def retry(self, webhook: UUID, user: UUID) -> bool:
        """Let a worker try this user at once, and for another day; False if not parked."""
        ...
