"""Whether a worker can run a reaction, by its settings; and the mailer of one without mail."""

from collections.abc import Sequence

from msgspec import Struct

from application.reactions.mail import Mail
from application.reactions.reaction import Options, Reaction, ReactionFailed


class Availability(Struct, frozen=True):
    """A reaction of this release; `missing` says why it is off, None if it can run."""

    name: str
    missing: str | None


def availability(
    reactions: Sequence[Reaction], options: Options, *, has_mail: bool
) -> Sequence[Availability]:
    """Of each reaction, in the same order."""
    return [Availability(each.name, _missing(each, options, has_mail)) for each in reactions]


def _missing(reaction: Reaction, options: Options, has_mail: bool) -> str | None:
    wanted = [name for name in reaction.needs if not options.get(name)]
    if reaction.needs_mail and not has_mail:
        wanted.insert(0, "smtp_url")
    if not wanted:
        return None
    names = [f"ROLLBOOK_{name.upper()}" for name in wanted]
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} not set"


class NoMailer:
    """The mailer where no mail server is set: only reactions that do not declare mail meet it."""

    async def send(self, mail: Mail) -> None:
        raise ReactionFailed(f"it does not declare that it needs mail, and sends {mail.template}")
