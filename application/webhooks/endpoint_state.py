"""The state of one endpoint in the worker that delivers to it; see `health` for the rules."""

import asyncio
from datetime import datetime
from typing import Final
from uuid import UUID

from structlog import get_logger

from application.webhooks.delivery_ports import Answer
from application.webhooks.health import Health, Verdict, failed, nothing_waits, succeeded
from application.webhooks.requests import DeliveryTools, code_of
from domain.webhook.events import DisabledReason

_GONE: Final = 410

log = get_logger(__name__)


class EndpointState:
    """Its health, and whether its deliveries are to end: `given_up` says why, if it is at fault."""

    def __init__(self, webhook: str, health: Health, tools: DeliveryTools) -> None:
        self.health = health
        self.ending = asyncio.Event()
        self.given_up: DisabledReason | None = None
        self._webhook = webhook
        self._tools = tools

    @property
    def is_sending(self) -> bool:
        """Whether requests may be sent now, other than a probe."""
        return not self.health.is_down and not self.ending.is_set()

    def seconds_to_wait(self) -> float | None:
        """Until the next probe; None if the endpoint is not down."""
        next_attempt_at = self.health.next_attempt_at
        if next_attempt_at is None:
            return None
        return (next_attempt_at - self._tools.clock()).total_seconds()

    def nothing_waits(self) -> None:
        """There is no event for a probe."""
        self.health = nothing_waits(self.health)

    def answered(
        self, user: UUID, answer: Answer, *, parked: int, is_probe: bool, is_alone: bool
    ) -> Verdict:
        """What to do after an answer for a user who is not parked; for a success "wait"."""
        if not self.answered_for_parked(user, answer):
            return "wait"
        was_down = self.health.is_down
        self.health, verdict = failed(
            self.health,
            user,
            self._tools.clock(),
            chance=self._tools.chance(),
            parked=parked,
            is_probe=is_probe,
            is_alone=is_alone,
        )
        if self.health.is_down and not was_down:
            log.warning("webhook_endpoint_down", webhook=self._webhook, error=code_of(answer))
        if verdict == "give-up":
            self._give_up("no-success")
        return verdict

    def answered_for_parked(self, user: UUID, answer: Answer) -> bool:
        """Take note of an answer; whether it is an ordinary failure."""
        if answer.status == _GONE:
            self._give_up("endpoint-gone")
        elif answer.is_success:
            if self.health.is_down:
                log.info("webhook_endpoint_works", webhook=self._webhook)
            self.health = succeeded(self.health, user, self._tools.clock())
        else:
            return True
        return False

    def user_given_up(self, parked_at: datetime) -> None:
        """A parked user was tried for a day. Without a success since then the endpoint is dead.

        So a quiet endpoint whose few users are all parked does not count as active for ever.
        """
        last_success_at = self.health.last_success_at
        if last_success_at is None or last_success_at < parked_at:
            self._give_up("no-success")

    def _give_up(self, reason: DisabledReason) -> None:
        self.given_up = self.given_up or reason
        self.ending.set()
