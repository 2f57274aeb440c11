"""The receipts of administrative commands: what the first request with an idempotency key got.

Commands to users have receipts in the log. Those of both share one table, so a key belongs to one
request, whatever its kind.
"""

from collections.abc import Mapping
from typing import Final, Literal, Protocol
from uuid import UUID

from msgspec import Struct

from application.context import IdempotencyKey

SILENT_SECONDS: Final = 20.0
"""After this time without a sign, the process that carried out a command has ended."""


class Execution(Struct, frozen=True):
    """The right to carry out a command; `attempt` counts how often it was given for this key.

    `id` is the same in each attempt: a job with this id is found again.
    """

    id: UUID
    attempt: int


class KeptAnswer(Struct, frozen=True):
    """The first answer, without secrets; `body` is JSON."""

    status: int
    headers: Mapping[str, str]
    body: str


# `refused`: nothing was done. `unknown`: all of it, a part or nothing was done.
Unanswered = Literal["refused", "unknown"]


class AnswerReceipts(Protocol):
    """Each method raises `Unavailable`."""

    async def begin(self, actor: str, key: IdempotencyKey) -> Execution | KeptAnswer | None:
        """Begin the command, or return the answer; None while another request carries it out.

        An execution that is silent for `SILENT_SECONDS` is given to the next request. Raises
        `IdempotencyMismatch`.
        """
        ...

    async def prolong(self, actor: str, key: IdempotencyKey, execution: Execution) -> None:
        """Say that the execution goes on."""
        ...

    async def end(
        self, actor: str, key: IdempotencyKey, execution: Execution, answer: KeptAnswer | Unanswered
    ) -> None:
        """Keep the answer. After `refused` the key is free again; after `unknown` the next request
        gets the execution, with the same id. An outdated attempt changes nothing.
        """
        ...
