"""Verifications and repairs on a real server for tests, as the job runs them."""

from functools import partial
from typing import Any

from application.verification.jobs import VerificationPorts, verify_generation
from application.verification.report import Verified
from infrastructure.views.repair.repairs import PostgresRepairs
from tests.support.views.compare_views import ignore_progress, views_in
from tests.support.views.rebuilding import Rebuilder

Rows = list[tuple[Any, ...]]


def ports_of(rebuilder: Rebuilder) -> VerificationPorts:
    """The ports that a worker verifies with."""
    return VerificationPorts(
        generations=rebuilder.slots,
        views=views_in(rebuilder.url),
        repairs=partial(PostgresRepairs.open, rebuilder.url),
        events_by_stream=rebuilder.ports.events_by_stream,
    )


async def verify_projection(
    rebuilder: Rebuilder, name: str, *, repair: bool = False, ports: VerificationPorts | None = None
) -> list[Verified]:
    """Verify a projection; the result for each partition of each generation."""
    ports = ports or ports_of(rebuilder)
    found: list[Verified] = []
    for slots in await ports.generations.filled(rebuilder.projections[name]):
        found += await verify_generation(slots, ports, ignore_progress, repairing=repair)
    return found
