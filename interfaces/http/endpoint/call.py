"""One request to an operation, checked as far as possible without the log."""

from typing import Generic, TypeVar
from uuid import UUID

from fastapi import Request
from msgspec import Struct

from application.context import Context, IdempotencyKey
from application.errors import PositionAhead
from application.identity import Principal
from application.receipts import Execution
from application.users.commands import IfMatch
from domain.access.events import Opened
from domain.errors import InvalidValue, UserNotFound
from interfaces.http.endpoint.middleware import request_id_of
from interfaces.http.endpoint.services import Services
from interfaces.http.protocol.fields import parse_uuid
from interfaces.http.protocol.refusals import NotFound
from interfaces.http.protocol.validation import NoParameters, RequestModel

P = TypeVar("P")
B = TypeVar("B")


class Nothing(RequestModel):
    """No member is needed."""


class Call(Struct, Generic[P, B], frozen=True):
    """`at_least` is the position that the answer to a query must show.

    The headers that an operation does not declare are None. `execution` is that of an administrative
    command with an idempotency key.
    """

    services: Services
    request: Request
    principal: Principal
    parameters: P
    body: B
    at_least: int = 0
    if_match: IfMatch | None = None
    on_behalf_of: str | None = None
    key: IdempotencyKey | None = None
    execution: Execution | None = None

    @property
    def job_id(self) -> UUID | None:
        """The id for the job of an administrative command, the same in each of its attempts."""
        return None if self.execution is None else self.execution.id

    @property
    def may_be_done(self) -> bool:
        """Whether an earlier attempt, which ended without an answer, may have done the command."""
        return self.execution is not None and self.execution.attempt > 1

    @property
    def context(self) -> Context:
        return Context(
            actor=self.principal.actor,
            correlation_id=request_id_of(self.request),
            on_behalf_of=self.on_behalf_of,
            idempotency=self.key,
        )

    @property
    def user_id(self) -> UUID:
        """The user in the path. Raises `UserNotFound` if it is not an id."""
        return self.id_in_path("user_id", UserNotFound)

    def id_in_path(self, name: str, missing: type[Exception] = NotFound) -> UUID:
        """A variable of the path. Raises `missing` if it is not an id: nothing has that name."""
        try:
            return parse_uuid(self.request.path_params[name])
        except InvalidValue:
            raise missing from None

    async def opened(self, what: Opened) -> None:
        """Record that the caller reads personal data of many people, if it may read any."""
        if self.principal.may("users:read"):
            services = self.services
            await services.openings.record(self.principal, what, request_id_of(self.request))

    async def log_position(self) -> int:
        """The head of the log, for answers that are read from the log and never wait.

        Raises `PositionAhead`.
        """
        head = await self.services.feed.head()
        if self.at_least > head:
            raise PositionAhead(head)
        return head


Query = Call[P, Nothing]
Command = Call[NoParameters, B]
