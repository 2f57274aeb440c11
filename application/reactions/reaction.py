"""What a reaction is: a name, the types of events that start it, and one function."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final

from msgspec import Struct

from application.reactions.mail import Mailer
from domain.event import Event, Recorded

TRIES: Final = 8
LIMIT_SECONDS: Final = 60.0

Options = Mapping[str, str]
"""Settings by name, for example `welcome_url`; a setting without a value is absent."""


class ReactionFailed(Exception):
    """The reaction to this event cannot succeed, and another try would not help.

    Raised by a reaction's function. The user is then parked at once. The message is shown to
    operators and must hold nothing personal.
    """


class ReactionContext(Struct, frozen=True, kw_only=True):
    """What a function may use; `attempt` is 1 for the first run on this event.

    An effect outside carries the event's id, because a run may be repeated.
    """

    reaction: str
    attempt: int
    mail: Mailer
    options: Options


Run = Callable[[Recorded[Any], ReactionContext], Awaitable[None]]


class Reaction(Struct, frozen=True, kw_only=True):
    """Work that events of some types start.

    `name` is stored and never changes; `types` are topics. `run` may be interrupted anywhere and
    run again, so it is idempotent. It raises `ReactionFailed` to give up, and `Unavailable` if
    a server is away: that does not count as a try. Any other error is retried with growing delay,
    up to `tries` runs in all. A run longer than `limit` seconds is ended and counts as failed.

    With `opens`, the function gets the personal fields of the event; without, they are `ERASED`.
    `needs_mail` and `needs`: the reaction is off unless a mail server is set, and each of these
    options has a value. With `skips_imports`, it does not run for users that an import registered,
    unless the option that `imports_option` names is `true`.
    """

    name: str
    types: frozenset[str]
    run: Run
    opens: bool = False
    needs_mail: bool = False
    needs: tuple[str, ...] = ()
    skips_imports: bool = False
    imports_option: str | None = None
    tries: int = TRIES
    limit: float = LIMIT_SECONDS

    @property
    def description(self) -> str:
        """The first paragraph of the function's docstring, in one line."""
        paragraph, _, _ = (self.run.__doc__ or "").strip().partition("\n\n")
        return " ".join(paragraph.split())


def reaction(
    *,
    name: str,
    types: Collection[type[Event]],
    opens: bool = False,
    needs_mail: bool = False,
    needs: tuple[str, ...] = (),
    skips_imports: bool = False,
    imports_option: str | None = None,
    tries: int = TRIES,
    limit: float = LIMIT_SECONDS,
) -> Callable[[Run], Reaction]:
    """Make a reaction of a function: see `Reaction`."""

    def make(run: Run) -> Reaction:
        return Reaction(
            name=name,
            types=frozenset(each.topic for each in types),
            run=run,
            opens=opens,
            needs_mail=needs_mail,
            needs=needs,
            skips_imports=skips_imports,
            imports_option=imports_option,
            tries=tries,
            limit=limit,
        )

    return make
