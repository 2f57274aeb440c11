"""The metrics of a process and its servers."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol, get_args

from msgspec import Struct
from msgspec.structs import asdict

from application.cache.ports import CacheCounts
from application.jobs.model import JobState
from application.metrics.telemetry import Reading
from application.queries.directory import Answer, ProjectionStatus
from application.reactions.admin import ReactionStatus

_STATES: Final = ("live", "catching-up", "parked", "stopped", "paused")


class WriterCounts(Protocol):
    """The writer of the log: waiting commands, and the batches and commands sent."""

    @property
    def waiting(self) -> int: ...

    @property
    def batches(self) -> int: ...

    @property
    def commands(self) -> int: ...


class Backlog(Struct, frozen=True, kw_only=True):
    """The backlog of the workers.

    `ahead_seconds`: how far the time of the log's last event is ahead of the database's clock.
    """

    jobs: Mapping[JobState, int]
    ahead_seconds: float


def cache_readings(counts: CacheCounts) -> Sequence[Reading]:
    """Look-ups and offers, by kind of document and result."""
    look_ups: dict[tuple[str, ...], float] = {}
    offers: dict[tuple[str, ...], float] = {}
    for kind, counted in asdict(counts).items():
        for outcome, label in (("hits", "hit"), ("misses", "miss"), ("behind",) * 2, ("away",) * 2):
            look_ups[kind, label] = getattr(counted, outcome)
        for outcome in ("kept", "refused"):
            offers[kind, outcome] = getattr(counted, outcome)
    return [
        Reading(
            name="rollbook_cache_lookups_total",
            help="Documents looked up in the cache, by kind and result.",
            kind="counter",
            labels=("kind", "outcome"),
            values=look_ups,
        ),
        Reading(
            name="rollbook_cache_offers_total",
            help="Documents offered to the cache after a miss, by kind and result.",
            kind="counter",
            labels=("kind", "outcome"),
            values=offers,
        ),
    ]


def writer_readings(writer: WriterCounts) -> Sequence[Reading]:
    """The command queue of this process."""
    return [
        _one("rollbook_writer_queue", "Commands that are queued or being written.", writer.waiting),
        _one("rollbook_writer_batches_total", "Batches answered by the log.", writer.batches),
        _one("rollbook_writer_commands_total", "Commands in these batches.", writer.commands),
    ]


def projection_readings(answer: Answer[Sequence[ProjectionStatus]]) -> Sequence[Reading]:
    """The status of each projection, and the head of the log."""
    statuses = answer.value
    texts = {
        "generation": "The generation that serves.",
        "position": "The position of the log that the view shows.",
        "lag": "Positions between the view and the head of the log.",
        "lag_seconds": "Age of the oldest event that the view does not show, in seconds.",
        "parked": "Streams that are parked for the projection; counted up to 10,000.",
    }
    readings = [
        Reading(
            name=f"rollbook_projection_{field}",
            help=text,
            labels=("projection",),
            values={(each.name,): getattr(each, field) for each in statuses},
        )
        for field, text in texts.items()
    ]
    states = {
        (each.name, state): float(each.state == state) for each in statuses for state in _STATES
    }
    head = max((each.head for each in statuses), default=0)
    return [
        *readings,
        Reading(
            name="rollbook_projection_state",
            help="1 for the state a projection is in.",
            labels=("projection", "state"),
            values=states,
        ),
        _one("rollbook_log_head", "The highest position in the log.", head),
    ]


def backlog_readings(backlog: Backlog) -> Sequence[Reading]:
    """The jobs, and the clock of the log."""
    return [
        Reading(
            name="rollbook_jobs",
            help="Jobs by state; counted up to 10,000.",
            labels=("state",),
            values={(state,): backlog.jobs.get(state, 0) for state in get_args(JobState)},
        ),
        _one(
            "rollbook_log_ahead_seconds",
            "How far the time of the last event is ahead of the database's clock.",
            backlog.ahead_seconds,
        ),
    ]


def reaction_readings(statuses: Sequence[ReactionStatus]) -> Sequence[Reading]:
    """The runs of each reaction, how far the reactions are, and which of them are on."""
    texts = {
        "queued": "Runs of the reaction that are still to be done; counted up to 10,000.",
        "parked": "Users that are parked for the reaction; counted up to 10,000.",
        "lag": "Positions between the events that were looked at and the head of the log.",
    }
    readings = [
        Reading(
            name=f"rollbook_reaction_{field}",
            help=text,
            labels=("reaction",),
            values={(each.name,): getattr(each, field) for each in statuses},
        )
        for field, text in texts.items()
    ]
    states = {
        (each.name, state): float(each.state == state)
        for each in statuses
        for state in ("on", "waiting", "off")
    }
    state = Reading(
        name="rollbook_reaction_state",
        help="1 for the state a reaction is in.",
        labels=("reaction", "state"),
        values=states,
    )
    return [*readings, state]


def _one(name: str, text: str, value: float) -> Reading:
    kind = "counter" if name.endswith("_total") else "gauge"
    return Reading(name=name, help=text, kind=kind, values={(): value})
