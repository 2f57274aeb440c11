"""A process that only reacts, for tests that kill it.

Run as `python -m tests.support.processes.reaction_worker URL FILE`; prints `ready` when it works.
Its reaction takes 50 ms, and adds the user and the position as a line to the file.
"""

import asyncio
import sys
from pathlib import Path

from application.reactions.reaction import Reaction, ReactionContext, reaction
from domain.event import Event, Recorded
from domain.user.events import UserRegistered, UserRoleChanged
from tests.support.reactions.bench import ReactionBench


def noting(file: Path) -> Reaction:
    """The reaction of the process."""

    @reaction(name="note", types=[UserRegistered, UserRoleChanged])
    async def note(recorded: Recorded[Event], context: ReactionContext) -> None:
        """Notes the event."""
        await asyncio.sleep(0.05)
        with file.open("a") as lines:
            lines.write(f"{recorded.stream} {recorded.position}\n")

    return note


async def main(url: str, file: str) -> None:
    async with ReactionBench.open(url) as bench, bench.working(noting(Path(file))):
        print("ready", flush=True)  # noqa: T201
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
