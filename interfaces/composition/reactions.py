"""Builds the reactions of a worker: what they need, the follower, and the runs."""

from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any, Final

from msgspec import Struct

from application.doorbell import Doorbell
from application.reactions.availability import NoMailer, availability
from application.reactions.follower import run_reactions
from application.reactions.lines import Lines
from application.reactions.mail import Mailer
from application.reactions.reaction import Options, Reaction
from application.reactions.registry import REACTIONS
from application.reactions.running import ReactionRun, RunPorts
from application.reactions.scheduling import Scheduler
from infrastructure.jobs.worker import ReactionWork
from infrastructure.reactions.ledger import PostgresReactionLedger
from infrastructure.reactions.runs import PostgresReactionRuns
from infrastructure.reactions.schedule import PLACES, PostgresReactionSchedule
from interfaces.composition.event_store import EventStore
from interfaces.composition.shared import Parts
from interfaces.settings import Settings

NO_OPTIONS: Final[Options] = {}


class Reacting(Struct, frozen=True, kw_only=True):
    """The runs, for the workers of the process, and the tasks beside them."""

    work: ReactionWork
    tasks: Sequence[Coroutine[Any, Any, None]]


def open_reactions(parts: Parts) -> Reacting:
    """The reactions of a worker, over its parts."""
    mail, options = _mailer(parts.settings), _options(parts.settings)
    return reacting(REACTIONS, parts.store, parts.doorbell, mail, options)


def reacting(
    reactions: Sequence[Reaction],
    store: EventStore,
    doorbell: Doorbell,
    mail: Mailer | None = None,
    options: Options = NO_OPTIONS,
) -> Reacting:
    """These reactions over a log."""
    available = availability(reactions, options, has_mail=mail is not None)
    schedule = PostgresReactionSchedule(store.database)
    ledger = PostgresReactionLedger(store.database, schedule)
    scheduler = Scheduler(schedule, available, doorbell)
    runs = PostgresReactionRuns(store.database)
    can_run = {each.name for each in available if each.missing is None}
    ports = RunPorts(
        reactions={each.name: each for each in reactions if each.name in can_run},
        runs=runs,
        events=store.feed,
        log=store.log,
        mail=mail or NoMailer(),
        options=options,
        ended=scheduler.ended,
        lines=Lines(),
    )
    # So many places that no reaction, whatever it waits for, takes those of another one.
    work = ReactionWork(
        run=partial(ReactionRun, ports=ports), lost=runs, places=2 * PLACES * max(len(reactions), 1)
    )
    tasks: list[Coroutine[Any, Any, None]] = [scheduler.run()]
    if reactions:
        tasks.append(run_reactions(reactions, options, ledger, store.feed, doorbell))
    return Reacting(work=work, tasks=tasks)


def _mailer(settings: Settings) -> Mailer | None:
    """The mailer; None if no mail server is set. Raises `WrongSetting` for a broken template."""
    if settings.smtp_url is None:
        return None
    # Only a process that sends mail loads its client and its templates.
    from interfaces.composition.mail import mailer_of

    return mailer_of(settings)


def _options(settings: Settings) -> Options:
    """The settings that reactions may use, by name."""
    options = {
        "welcome_url": settings.welcome_url,
        "welcome_imports": "true" if settings.welcome_imports else None,
    }
    return {name: value for name, value in options.items() if value}
