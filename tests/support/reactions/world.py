"""The model of reactions that their state machine compares with Postgres, and what always holds."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, ClassVar, Final, TypeVar
from uuid import UUID

import uvloop
from hypothesis.stateful import RuleBasedStateMachine, invariant
from uuid_utils.compat import uuid7

from application.reactions.availability import Availability
from application.reactions.follower import WantedRun
from application.reactions.runs import TakenRun
from infrastructure.database import Database
from infrastructure.leadership import Lead
from infrastructure.reactions.ledger import PostgresReactionProgress
from infrastructure.reactions.records import PostgresReactionRecords
from infrastructure.reactions.runs import PostgresReactionRuns
from infrastructure.reactions.schedule import PostgresReactionSchedule

T = TypeVar("T")

NAMES: Final[tuple[str, ...]] = ("greet", "count")
USERS: Final = tuple(uuid7() for _ in range(3))
PLACES: Final = 3
EMPTY: Final = (
    "DELETE FROM procrastinate_jobs",
    "DELETE FROM procrastinate_workers",
    "DELETE FROM reaction_runs",
    "DELETE FROM reactions",
    "DELETE FROM checkpoints",
    "DELETE FROM stored_events",
    "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() + interval '1 day')",
)
EVENT: Final = """
INSERT INTO stored_events (originator_id, originator_version, topic, state, notification_id, tenant,
    kind, event_id, actor, correlation_id, recorded_at)
VALUES (%s, %s, 'user.role_changed', '\\x7b7d', %s, 'main', 'user', %s, 'token:t', 'test', now())"""
UNFINISHED: Final = """
SELECT reaction, stream, state, task, position FROM reaction_runs
WHERE finished_at IS NULL ORDER BY reaction, stream, position"""
# Users whose next run is still to be queued.
FREED: Final = "SELECT DISTINCT reaction, stream FROM reaction_runs WHERE follow_up"


class ReactionWorld(RuleBasedStateMachine):
    """What is expected of the log, the reactions and their runs; the rules belong to the test."""

    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self.stack = AsyncExitStack()
        self.database = self.run(self.stack.enter_async_context(Database.open(self.url, size=3)))
        self.schedule_of_runs = PostgresReactionSchedule(self.database, places=PLACES)
        self.runs = PostgresReactionRuns(self.database)
        self.records = PostgresReactionRecords(self.database)
        for statement in EMPTY:
            self.execute(statement)
        self.log: list[WantedRun] = []
        self.versions = Counter[UUID]()
        self.is_on: dict[str, bool] = dict.fromkeys(NAMES, True)
        self.is_available: dict[str, bool] = dict.fromkeys(NAMES, True)
        self.enabled_from: dict[str, int] = dict.fromkeys(NAMES, 0)
        self.discarded_to: dict[str, int] = dict.fromkeys(NAMES, 0)
        self.expected = Counter[tuple[str, int]]()
        self.running: list[TakenRun] = []
        self.frozen: list[TakenRun] = []
        self.done: list[tuple[str, UUID, int]] = []
        self.register()
        # A leading session would be lost: the loop runs only within a step.
        connection = self.run(self.stack.enter_async_context(self.database.connection(3600)))
        self.lead = Lead(connection, 0)
        self.progress = self.leading_at(0)

    def leading_at(self, position: int) -> PostgresReactionProgress:
        return PostgresReactionProgress(
            self.schedule_of_runs, self.database, self.lead, position, NAMES
        )

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def execute(self, statement: str, *values: Any) -> list[Any]:
        async def execute() -> list[Any]:
            async with self.database.connection(5) as connection:
                cursor = await connection.execute(statement.encode(), values)
                return await cursor.fetchall() if cursor.description else []

        return self.run(execute())

    @property
    def head(self) -> int:
        return self.log[-1].position if self.log else 0

    def register(self) -> None:
        available = [
            Availability(name, None if self.is_available[name] else "not set") for name in NAMES
        ]
        self.run(self.schedule_of_runs.register(available))

    # What always holds

    @invariant()
    def each_event_has_one_run(self) -> None:
        runs = self.execute("SELECT reaction, position FROM reaction_runs")
        assert (
            Counter[tuple[str, int]]((name, position) for name, position in runs) == self.expected
        )

    @invariant()
    def only_the_first_run_of_a_user_may_begin(self) -> None:
        freed: set[tuple[str, UUID]] = {(name, user) for name, user in self.execute(FREED)}
        seen: set[tuple[str, UUID]] = set()
        for name, user, state, task, _ in self.execute(UNFINISHED):
            is_first = (name, user) not in seen
            seen.add((name, user))
            assert is_first or state == "waiting"
            assert state != "waiting" or not is_first or (name, user) in freed, "forgotten"
            assert (state == "running") <= (task is not None)

    @invariant()
    def no_reaction_takes_more_places_than_it_has(self) -> None:
        given = "SELECT reaction FROM reaction_runs WHERE task IS NOT NULL"
        places = Counter[str](name for (name,) in self.execute(given))
        assert max(places.values(), default=0) <= PLACES

    @invariant()
    def runs_end_in_order(self) -> None:
        last: dict[tuple[str, UUID], int] = {}
        for name, user, position in self.done:
            assert position > last.get((name, user), 0)
            last[name, user] = position
