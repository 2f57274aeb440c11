"""Comparisons and repairs on a real server for tests, as the job does them."""

from functools import partial
from typing import Any

from application.verification.jobs import Verifying, verify_generation
from application.verification.report import Verified
from infrastructure.views.repair.repairs import PostgresRepairs
from tests.support.views.rebuilding import Rebuilder
from tests.support.views.refolded import unreported, views_in

Rows = list[tuple[Any, ...]]


def ports_of(rebuilder: Rebuilder) -> Verifying:
    """What a worker verifies with."""
    return Verifying(
        generations=rebuilder.slots,
        views=views_in(rebuilder.url),
        repairs=partial(PostgresRepairs.open, rebuilder.url),
        histories=rebuilder.ports.histories,
    )


async def verified(
    rebuilder: Rebuilder, name: str, *, repair: bool = False, ports: Verifying | None = None
) -> list[Verified]:
    """What is found of each partition of each generation of a projection."""
    ports = ports or ports_of(rebuilder)
    found: list[Verified] = []
    for slots in await ports.generations.filled(rebuilder.projections[name]):
        found += await verify_generation(slots, ports, unreported, repairing=repair)
    return found
