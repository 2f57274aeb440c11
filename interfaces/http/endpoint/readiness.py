"""The state of each dependency, since when, and why."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal

import structlog
from msgspec import Struct

from application.errors import Degraded, DiskFull, MasterKeyMissing, NotRunning
from application.projector.automatic_rebuild import ViewsOutdated
from application.reactions.mail import MailServerUnavailable
from application.timestamps import Timestamp, timestamp

State = Literal["up", "down", "degraded", "off"]

_DETAILS: Final[Mapping[type[Exception], str]] = {
    DiskFull: "Postgres cannot write, because its disk is full; it still reads.",
    MasterKeyMissing: "This process lacks the current master key, which new users need.",
}
# Their messages hold nothing secret.
_PLAIN: Final = (NotRunning, Degraded, ViewsOutdated, MailServerUnavailable)
_DEGRADED: Final = (DiskFull, Degraded, ViewsOutdated)
_NO_ANSWER: Final = "It does not answer."

log = structlog.stdlib.get_logger(__name__)


class Check(Struct, frozen=True, omit_defaults=True):
    """`since` is when this process first saw the state; `detail` says what is wrong. What is not
    configured is `off`.
    """

    state: State
    since: Timestamp
    detail: str | None = None


class KnownStates:
    """Remembers the states that the checks found; each change is logged once."""

    def __init__(self) -> None:
        self._known: dict[str, Check] = {}

    def of(self, name: str, error: Exception | None, now: datetime, *, off: bool = False) -> Check:
        """The state of what `name` names; its check raised this error, or none."""
        state, detail = "off" if off else "up", None
        if error is not None:
            state = "degraded" if isinstance(error, _DEGRADED) else "down"
            # Any other error's own message may quote a secret.
            plain = str(error) if isinstance(error, _PLAIN) else _NO_ANSWER
            detail = _DETAILS.get(type(error), plain)
        known = self._known.get(name)
        if known is not None and (known.state, known.detail) == (state, detail):
            return known
        if error is not None:
            kind = type(error).__qualname__
            log.warning("dependency_down", dependency=name, error=kind, reason=detail)
        elif known is not None:
            log.info("dependency_up", dependency=name)
        self._known[name] = Check(state, timestamp(now), detail)
        return self._known[name]
