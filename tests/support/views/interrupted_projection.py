"""Projects as in production: pages of any size, other leaders and repeated events."""

from random import Random
from typing import Any

from application.log.event_log import FeedPage
from application.projector.projector import Projector
from application.projector.view_store import Slot, ViewStore
from domain.event import Event, Recorded
from infrastructure.doorbell.memory import MemoryDoorbell


async def project_with_interruptions(
    store: ViewStore, slot: Slot[Any], log: list[Recorded[Event]], random: Random
) -> None:
    """Project in pages of random size; sometimes change the leader, and repeat some events."""
    head = log[-1].position if log else 0
    position = 0
    while position < head:
        async with Projector[Any].leading(store, slot, MemoryDoorbell()) as projector:
            while projector.position < head and random.random() < 0.8:
                repeated = random.choice((0, 0, 3))
                later = [e for e in log if e.position > projector.position - repeated]
                events = later[: random.randrange(1, 9)]
                if events[-1].position > projector.position:
                    await projector.handle(FeedPage(events=events, reached=events[-1].position))
            position = projector.position
