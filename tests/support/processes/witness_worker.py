"""A worker with one more reaction: it writes a line for each event of a user to a file.

Run as `python -P -m tests.support.processes.witness_worker worker`, with the file in
ROLLBOOK_TEST_WITNESS. A line is `user position event`.
"""

import os
from typing import Any, Final

from application.reactions import registry
from application.reactions.reaction import ReactionContext, reaction
from domain.event import Recorded
from domain.user.events import USER_EVENTS

NAME: Final = "witness"
FILE: Final = "ROLLBOOK_TEST_WITNESS"


@reaction(name=NAME, types=USER_EVENTS)
async def witness(recorded: Recorded[Any], _: ReactionContext) -> None:
    """Writes a line in one call, so that a kill leaves the whole line or nothing."""
    line = f"{recorded.stream} {recorded.position} {recorded.event_id}\n"
    file = os.open(os.environ[FILE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


def main() -> None:
    # Before the roles import it.
    setattr(registry, "REACTIONS", (*registry.REACTIONS, witness))  # noqa: B010
    from interfaces.cli.main import app

    app()


if __name__ == "__main__":
    main()
