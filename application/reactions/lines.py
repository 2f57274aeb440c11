"""Log lines about single runs, limited in number: thousands of users may fail at once."""

from collections.abc import Callable
from time import monotonic
from typing import Any, Final

from structlog import get_logger

_MAX_LINES: Final = 20
_EACH_SECONDS: Final = 10.0

log = get_logger(__name__)


class Lines:
    """Logs up to 20 lines in 10 s; then one that counts the lines left out."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._lines = 0

    def info(self, event: str, **facts: Any) -> None:
        if self._may():
            log.info(event, **facts)

    def warning(self, event: str, **facts: Any) -> None:
        if self._may():
            log.warning(event, **facts)

    def _may(self) -> bool:
        now = self._clock()
        if now >= self._since + _EACH_SECONDS:
            if self._lines > _MAX_LINES:
                log.warning("reaction_lines_left_out", count=self._lines - _MAX_LINES)
            self._since, self._lines = now, 0
        self._lines += 1
        return self._lines <= _MAX_LINES
