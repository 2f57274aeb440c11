"""What follows from the answers of an endpoint: whom to park, when to pause, when to give up.

Pure: time, chance and the number of parked users are arguments.
"""

from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

IN_FLIGHT: Final = 8
"""Deliveries of one webhook at the same time, each for another user."""
MAX_PARKED: Final = 1000
"""With more parked users the endpoint is down, not the events of some users wrong."""
OTHERS_SUCCEEDED: Final = timedelta(seconds=30)
"""So recent a success of another user shows that the endpoint works."""
GIVES_UP: Final = timedelta(days=1)
LONGEST_SECONDS: Final = 3600.0
_FIRST_PARKED_SECONDS: Final = 5.0
PARKED_TRIES: Final = 33
"""With the delays of `parked_delay` these tries of a parked user take about a day."""

Verdict = Literal["park", "wait", "give-up"]
"""After a failed delivery: park the user, pause the endpoint, or disable the webhook."""


class Health(Struct, frozen=True, kw_only=True):
    """The last answers of an endpoint, without those for parked users that failed.

    `failures` counts failures since the last success. `failing_since` and `next_attempt_at` are
    set while the endpoint counts as down: until then nothing is sent, then one delivery as a
    probe; `probes` counts these and the failure before them. The last three fields are not stored.
    """

    last_success_at: datetime | None = None
    last_failure_at: datetime | None = None
    failing_since: datetime | None = None
    failures: int = 0
    probes: int = 0
    next_attempt_at: datetime | None = None
    success_user: UUID | None = None
    others_success_at: datetime | None = None
    has_parked_while_down: bool = False

    @property
    def is_down(self) -> bool:
        return self.next_attempt_at is not None


def renewed(health: Health) -> Health:
    """After a change of the webhook: the endpoint is tried at once and has another day."""
    return replace(
        health,
        failing_since=None,
        failures=0,
        probes=0,
        next_attempt_at=None,
        has_parked_while_down=False,
    )


def succeeded(health: Health, user: UUID, now: datetime) -> Health:
    """After an accepted delivery the endpoint works."""
    is_other = health.success_user not in (None, user)
    return replace(
        renewed(health),
        last_success_at=now,
        success_user=user,
        others_success_at=health.last_success_at if is_other else health.others_success_at,
    )


def failed(
    health: Health,
    user: UUID,
    now: datetime,
    *,
    chance: float,
    parked: int,
    is_probe: bool,
    is_alone: bool = False,
) -> tuple[Health, Verdict]:
    """After a delivery that was not accepted, for a user who is not parked.

    `chance` is from 0 to 1. A failure that is no probe says nothing new about an endpoint that is
    down. `is_alone`: all events that wait are this user's, so nothing else can be probed; then
    one user is parked for each outage.
    """
    health = replace(health, last_failure_at=now, failures=health.failures + 1)
    if health.is_down and not is_probe:
        return health, "wait"
    if not health.is_down and _is_the_users(health, user, now, parked):
        return health, "park"
    since = health.failing_since or now
    if now - since >= GIVES_UP:
        return health, "give-up"
    probes = health.probes + 1
    seconds = with_jitter(min(2.0 ** min(probes - 1, 30), LONGEST_SECONDS), chance)
    verdict: Verdict = "wait"
    if is_alone and parked < MAX_PARKED and not health.has_parked_while_down:
        health, verdict = replace(health, has_parked_while_down=True), "park"
    return replace(
        health,
        failing_since=since,
        probes=probes,
        next_attempt_at=min(now + timedelta(seconds=seconds), since + GIVES_UP),
    ), verdict


def _is_the_users(health: Health, user: UUID, now: datetime, parked: int) -> bool:
    """Whether the reason lies with this user's events rather than with the endpoint.

    An endpoint that has just gone down fails all deliveries in flight; the last of these shows it.
    """
    success = _succeeded_for_others(health, user)
    return (
        success is not None
        and now - success <= OTHERS_SUCCEEDED
        and health.failures < IN_FLIGHT
        and parked < MAX_PARKED
    )


def _succeeded_for_others(health: Health, user: UUID) -> datetime | None:
    """The last success for another user, as far as this process knows."""
    if health.success_user is None:
        return None
    return health.last_success_at if health.success_user != user else health.others_success_at


def nothing_waits(health: Health) -> Health:
    """There is no event to probe an endpoint with that is down: the next event finds out."""
    return replace(health, failing_since=None, probes=0, next_attempt_at=None)


def parked_delay(tries: int, chance: float) -> timedelta | None:
    """The delay before a parked user's next try; None after a day of tries without success."""
    if tries >= PARKED_TRIES:
        return None
    seconds = min(_FIRST_PARKED_SECONDS * 2.0 ** (tries - 1), LONGEST_SECONDS)
    return timedelta(seconds=with_jitter(seconds, chance))


def with_jitter(seconds: float, chance: float) -> float:
    """Three quarters to all of it, so that endpoints that failed together are not tried together."""
    return seconds * (0.75 + 0.25 * chance)
