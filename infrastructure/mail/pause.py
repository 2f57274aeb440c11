"""A pause after the mail server failed: mails then fail at once instead of waiting for it each."""

from collections.abc import Callable
from time import monotonic
from typing import Final

from application.reactions.mail import MailServerUnavailable

_FIRST_SECONDS: Final = 1.0
_MAX_SECONDS: Final = 30.0
# A mail that tries the server after a pause has this time, until another one may try it.
_TRIAL_SECONDS: Final = 30.0


class Pause:
    """Doubles with each failure in a row. After it one mail tries the server, and the others wait
    for its result.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._reason: str | None = None
        self._seconds = _FIRST_SECONDS
        self._failed_at = 0.0
        self._until = 0.0

    def begin(self) -> float:
        """The time at which a mail begins, for `failed`. Raises `MailServerUnavailable`."""
        now = self._clock()
        if self._reason is not None:
            if now < self._until:
                raise MailServerUnavailable(self._reason)
            self._until = now + _TRIAL_SECONDS
        return now

    def failed(self, error: MailServerUnavailable, began: float) -> None:
        """Pause. The failures of mails that were under way together count as one."""
        if self._reason is not None and began < self._failed_at:
            return
        now = self._clock()
        if self._reason is not None:
            self._seconds = min(self._seconds * 2, _MAX_SECONDS)
        self._reason, self._failed_at, self._until = error.reason, now, now + self._seconds

    def succeeded(self) -> None:
        """The server takes mails."""
        self._reason, self._seconds = None, _FIRST_SECONDS
