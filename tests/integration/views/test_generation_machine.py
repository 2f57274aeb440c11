"""The rules of generations on Postgres: builds, cancels, crashes, other code and rollbacks mixed."""

import asyncio
from collections.abc import Awaitable, Iterator
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from application.jobs.model import JobCancelled
from application.projector.generations import StreamsParked
from application.projector.rebuild import SwitchIf
from infrastructure.views.generations import builds
from infrastructure.views.generations.expiry import PostgresExpiredGenerations
from projections.registry import PROJECTIONS
from tests.integration.views.test_generations import registered, renamed, roll_back
from tests.support.servers.postgres import database, scaled
from tests.support.views.directory import execute
from tests.support.views.rebuilding import Rebuilder
from tests.support.views.registrations import NEWCOMERS, refused_names

T = TypeVar("T")

# The names that the code of each revision cannot apply.
REFUSED = {1: {"bad"}, 2: {"bad", "fine"}, 3: set[str]()}


class Crashed(Exception):
    """The process of the build ends here."""


class GenerationsOnPostgres(RuleBasedStateMachine):
    """One projection whose events some revisions cannot apply."""

    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.opened = Rebuilder.open(self.url, [*PROJECTIONS, NEWCOMERS])
        self.rebuilder = self.run(self.opened.__aenter__())
        self.projecting = self.rebuilder.projecting()
        self.run(self.projecting.__aenter__())
        self.versions: dict[UUID, int] = {}
        self.deploy(1)
        self.register("ok")

    def run(self, work: Awaitable[T]) -> T:
        async def run() -> T:
            return await work

        return self.runner.run(run())

    def teardown(self) -> None:
        refused_names.clear()
        refused_names.add("bad")
        builds.code_of = self.code_of
        self.run(self.projecting.__aexit__(None, None, None))
        self.run(self.opened.__aexit__(None, None, None))
        self.runner.close()

    code_of = staticmethod(builds.code_of)

    @rule(revision=st.sampled_from([1, 2, 3]))
    def deploy(self, revision: int) -> None:
        refused_names.clear()
        refused_names.update(REFUSED[revision])
        builds.code_of = lambda projection: f"revision {revision}"

    @rule(name=st.sampled_from(["ok", "fine", "bad"]))
    def register(self, name: str) -> None:
        self.versions[self.run(self.rebuilder.read_side.record(registered(name)))] = 1

    @rule(name=st.sampled_from(["ok", "fine", "bad"]), data=st.data())
    def rename(self, name: str, data: st.DataObject) -> None:
        stream = data.draw(st.sampled_from(sorted(self.versions)))
        self.run(renamed(self.rebuilder, stream, name, self.versions[stream]))
        self.versions[stream] += 1

    @rule(
        switch_if=st.sampled_from(["always", "always", "differing", "never"]),
        end=st.sampled_from([None, None, JobCancelled, Crashed]),
        reports=st.integers(1, 4),
    )
    def build(self, switch_if: SwitchIf, end: type[Exception] | None, reports: int) -> None:
        """Build; the process may be cancelled or crash at one of its reports."""
        self.run(self.rebuilder.caught_up("newcomers"))
        before, parked = self.serving, self.parked_in(self.serving)
        left = reports

        async def report(done: int, total: int | None) -> None:
            nonlocal left
            left -= 1
            if end is not None and left == 0:
                raise end

        try:
            built = self.run(
                self.rebuilder.rebuild("newcomers", report=report, switch_if=switch_if)
            )
        except (JobCancelled, StreamsParked):
            assert self.serving == before
            assert self.unserved() == []
        except Crashed:
            assert self.serving == before
        else:
            assert (self.serving != before) == built["switched"]
            assert built["switched"] or self.unserved() == []
            assert self.parked_in(self.serving) <= parked

    @rule()
    def retry_all(self) -> None:
        self.run(self.rebuilder.caught_up("newcomers"))
        for parked in self.run(self.rebuilder.admin.parked("newcomers", 0, 99)).items:
            self.run(self.rebuilder.admin.retry("newcomers", parked.stream))

    @rule()
    def roll_back(self) -> None:
        previous = self.run(self.rebuilder.previous_generations.previous("newcomers"))
        if previous is not None:
            arguments: dict[str, Any] = {"from": self.serving, "to": previous}
            self.run(roll_back(self.rebuilder, projection="newcomers", **arguments))
            assert self.serving == previous

    @rule()
    def expire(self) -> None:
        self.sql(
            """UPDATE generations SET drop_after = drop_after - interval '25 hours',
            touched_at = touched_at - interval '11 minutes' WHERE projection = 'newcomers'"""
        )
        self.run(
            PostgresExpiredGenerations(self.rebuilder.read_side.events.database).drop_expired()
        )

    def sql(self, statement: str, *parameters: Any) -> list[Any]:
        return self.run(execute(self.url, statement, *parameters))

    def parked_in(self, generation: int) -> set[UUID]:
        query = "SELECT stream FROM parked WHERE projection = 'newcomers' AND generation = %s"
        return {stream for (stream,) in self.sql(query, generation)}

    def unserved(self) -> list[int]:
        """The generations that never served and are not dropped."""
        query = """SELECT generation FROM generations WHERE projection = 'newcomers'
        AND served_at IS NULL AND state IN ('filling', 'following')"""
        return [generation for (generation,) in self.sql(query)]

    @property
    def serving(self) -> int:
        query = "SELECT generation FROM projections WHERE name = 'newcomers'"
        return self.sql(query)[0][0]

    @invariant()
    def something_serves_every_stream(self) -> None:
        """What serves is followed, and each stream has its row or is parked."""
        serving = self.serving
        state = "SELECT state FROM generations WHERE projection = 'newcomers' AND generation = %s"
        assert self.sql(state, serving) == [("following",)]
        self.run(self.rebuilder.caught_up("newcomers"))
        rows = {row[0]: row[1] for row in self.sql(f"SELECT id, version FROM newcomers_g{serving}")}
        parked = self.parked_in(serving)
        for stream, version in self.versions.items():
            assert rows.get(stream) == version or stream in parked


@pytest.mark.long
def test_generations_on_postgres_keep_the_rules(url: str) -> None:
    class OnThisDatabase(GenerationsOnPostgres):
        pass

    OnThisDatabase.url = url
    run_state_machine_as_test(  # pyright: ignore[reportUnknownMemberType]
        OnThisDatabase,
        settings=settings(
            max_examples=scaled(1),
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


@pytest.fixture
def url(postgres_url: str, migrated_template: str) -> Iterator[str]:
    with database(postgres_url, migrated_template) as made:
        yield made
