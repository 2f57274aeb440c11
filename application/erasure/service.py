"""Erasing a person: the command, the wait until all stores are clean, and the receipt."""

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal
from uuid import UUID

from msgspec import Meta, Struct

from application.context import Context
from application.erasure.coverage import Coverage
from application.failures import already_recorded
from application.jobs.model import Job, Jobs
from application.timestamps import Timestamp, timestamp
from application.users.commands import IfMatch
from application.users.service import UserService
from application.users.states import ErasedAt
from domain.user.commands import EraseReason, EraseUser

ERASURE: Final = "erasure"

# How long a request waits for the followers, which normally need 0.1 s.
TIMEOUT_SECONDS: Final = 2.0
# By then the daily clean-up has removed dead rows, and the write-ahead log is overwritten.
_REMAINS: Final = timedelta(days=30)

Remainder = Literal["freed-pages", "write-ahead-log", "receipts"]
_PLACES: Final[tuple[Remainder, ...]] = ("freed-pages", "write-ahead-log", "receipts")


class Remains(Struct, frozen=True, kw_only=True):
    """Where bytes that no query reaches may remain, and until when.

    `receipts` are digests of requests with an idempotency key: for a day they could confirm a
    guessed request.
    """

    until: Timestamp
    where: tuple[Remainder, ...]


class ErasureReceipt(Struct, frozen=True, kw_only=True):
    """The erased person and the time; `position` is that of the event `user.erased`.

    `covers` names the stores that are clean of the person.
    """

    user_id: Annotated[str, Meta(extra_json_schema={"format": "uuid"})]
    position: int
    erased_at: Timestamp
    covers: tuple[str, ...]
    remains: Remains


class Erasure(Struct, frozen=True, kw_only=True):
    """A recorded erasure: `answer` is the receipt if all stores are clean, else the job that waits
    until they are.
    """

    position: int
    answer: ErasureReceipt | Job
    replayed: bool


class ErasureService:
    """Erases people. The command is recorded first: after any later failure a repeat continues."""

    def __init__(
        self,
        commands: UserService,
        coverage: Coverage,
        jobs: Jobs,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> None:
        self._commands = commands
        self._coverage = coverage
        self._jobs = jobs
        self._timeout_seconds = timeout_seconds

    async def erase(
        self,
        user_id: UUID,
        reason: EraseReason,
        context: Context,
        *,
        if_match: IfMatch | None = None,
    ) -> Erasure:
        """Erase a person, or return the state of an earlier erasure.

        Raises what `UserService.execute` raises. If not all stores are clean within 2 s, a job
        waits for the rest.
        """
        outcome = await self._commands.execute(
            user_id, EraseUser(reason), context, if_match=if_match
        )
        erased = outcome.user
        assert isinstance(erased, ErasedAt), "an erasure is permanent"
        covered = await self._coverage.wait_until_clean(
            user_id, erased.position, self._timeout_seconds
        )
        answer = (
            await self._submit_job(erased, context.actor)
            if covered.missing
            else receipt_of(user_id, erased.position, erased.updated_at, covered.covers)
        )
        return Erasure(position=erased.position, answer=answer, replayed=outcome.replayed)

    async def _submit_job(self, erased: ErasedAt, actor: str) -> Job:
        """The job that waits for the rest: one job for each user."""
        arguments = {
            "user_id": str(erased.user_id),
            "position": erased.position,
            "erased_at": erased.updated_at.isoformat(),
        }
        with already_recorded():
            return await self._jobs.submit(
                ERASURE, arguments, actor=actor, once=str(erased.user_id)
            )


def receipt_of(
    user_id: UUID, position: int, erased_at: datetime, covers: tuple[str, ...]
) -> ErasureReceipt:
    """The receipt of a person; made from the event alone, so that every caller gets the same one."""
    return ErasureReceipt(
        user_id=str(user_id),
        position=position,
        erased_at=timestamp(erased_at),
        covers=covers,
        remains=Remains(until=timestamp(erased_at + _REMAINS), where=_PLACES),
    )
