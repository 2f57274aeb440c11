"""What becomes of a run that failed: it is retried, or its user is parked; and the text for operators."""

from datetime import datetime
from typing import Final

from application.errors import ApplicationError, OutcomeUnknown, Overloaded, Unavailable
from application.failures import describe
from application.reactions.reaction import ReactionFailed
from application.reactions.runs import (
    LONGEST_OUTAGE_SECONDS,
    RunOutcome,
    TakenRun,
    outage_seconds,
    retry_seconds,
)

OUTAGES: Final = (Unavailable, Overloaded, OutcomeUnknown)
"""A server is away: such a run does not count as a try."""

_MAX_ERROR: Final = 500


class TooLong(Exception):
    """The run took longer than its limit."""


class UnreadableEvent(Exception):
    """This release cannot read the event."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{self.__doc__} {reason}")


def outcome_of(error: BaseException, taken: TakenRun, max_tries: int, now: datetime) -> RunOutcome:
    """What becomes of a run that raised `error`: it is retried, or its user is parked."""
    text = error_of(error)
    if isinstance(error, OUTAGES):
        if (now - taken.since).total_seconds() > LONGEST_OUTAGE_SECONDS:
            return RunOutcome(state="parked", error=text, outage=True)
        seconds = outage_seconds(taken.outages + 1)
        return RunOutcome(state="queued", error=text, seconds=seconds, outage=True)
    tries = taken.tries + 1
    if isinstance(error, ReactionFailed) or tries >= max_tries:
        return RunOutcome(state="parked", error=text, failed=True)
    return RunOutcome(state="queued", error=text, seconds=retry_seconds(tries), failed=True)


def error_of(error: BaseException) -> str:
    """The text for operators; messages of unknown errors may hold personal data."""
    match error:
        case ReactionFailed() | UnreadableEvent():
            return _storable(str(error))
        case ApplicationError():
            return f"{type(error).__name__}: {error}"
        case TooLong():
            return str(error.__doc__)
        case _:
            return describe(error)


def _storable(text: str) -> str:
    """As Postgres stores it: without NUL and lone surrogates; and short."""
    return text.replace("\x00", "").encode(errors="replace").decode()[:_MAX_ERROR]
