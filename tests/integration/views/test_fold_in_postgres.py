"""With any pages, restarts and redeliveries, the tables equal one fold of the whole history."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from application.projector.fold import contribution_of, fold_page
from application.projector.view_store import Slot
from domain.event import Event, Recorded
from infrastructure.database import Database
from infrastructure.views.projector.ensure import ensure_views
from infrastructure.views.projector.store import PostgresViewStore
from projections.headcount import HEADCOUNT
from projections.projection import Projection
from projections.users import USERS
from tests.support.log.feeds import LogByStream
from tests.support.servers.postgres import database, scaled
from tests.support.views.compare_views import differences, snapshot, views_in
from tests.support.views.directory import execute
from tests.support.views.histories import logs
from tests.support.views.interrupted_projection import project_with_interruptions
from tests.support.views.registrations import NEWCOMERS

FOLDED: Final[tuple[Projection[Any], ...]] = (USERS, HEADCOUNT, NEWCOMERS)


@pytest.fixture(scope="module")
def url(postgres_url: str, migrated_template: str) -> Iterator[str]:
    """A database with all views, for all tests here."""
    with database(postgres_url, migrated_template) as made:
        asyncio.run(ensure_views(made, FOLDED))
        yield made


@given(log=logs(), random=st.randoms(use_true_random=False))
@settings(
    max_examples=scaled(8),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@pytest.mark.parametrize("projection", FOLDED, ids=lambda projection: projection.name)
async def test_views_and_counters_in_tables_equal_one_fold_of_all_events(
    url: str, projection: Projection[Any], log: list[Recorded[Event]], random: Random
) -> None:
    await _empty(url, projection)
    slot = Slot(projection)
    views = views_in(url)
    async with Database.open(url) as database:
        await project_with_interruptions(PostgresViewStore(database), slot, log, random)
    shot = await snapshot(views, slot)
    fresh = fold_page(projection, {}, frozenset(), log)
    assert shot.entries == fresh.entries
    sums = Counter[str]()
    for entry in fresh.entries.values():
        sums.update(contribution_of(projection, entry))
    assert (Counter(shot.counters), shot.parked) == (sums, {})
    assert not await differences(views, LogByStream(log), [slot])


async def _empty(url: str, projection: Projection[Any]) -> None:
    counters = "" if projection.contribution is None else f", {projection.name}_g1_counters"
    await execute(url, f"TRUNCATE {projection.name}_g1{counters}")
    await execute(url, "UPDATE checkpoints SET position = 0")
