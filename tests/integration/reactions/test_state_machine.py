"""The runs of reactions on Postgres, under any order of pages, runs, kills and commands of operators.

The machine is the follower, the workers and the operators at once; it checks after each step that
each user's runs of a reaction are in order, and at the end that none was forgotten.
"""

from typing import Final, Literal
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    precondition,
    rule,
    run_state_machine_as_test,
)
from uuid_utils.compat import uuid7

from application.log.follower import NotLeading
from application.reactions.admin import Skip
from application.reactions.follower import WantedRun
from application.reactions.runs import RunOutcome
from tests.support.reactions.world import EVENT, NAMES, PLACES, UNFINISHED, USERS, ReactionWorld
from tests.support.servers.postgres import scaled

OUTCOMES: Final = {
    "done": RunOutcome(state="done"),
    "failed": RunOutcome(state="queued", failed=True, error="x", seconds=60),
    "outage": RunOutcome(state="queued", outage=True, error="x", seconds=60),
    "parked": RunOutcome(state="parked", failed=True, error="x"),
    "stopped": RunOutcome(state="queued"),
}

TAKE: Final = """
UPDATE procrastinate_jobs
SET status = 'doing', worker_id = (SELECT max(id) FROM procrastinate_workers)
WHERE id = (SELECT min(id) FROM procrastinate_jobs WHERE status = 'todo') RETURNING id"""
names = st.sampled_from(NAMES)
users = st.sampled_from(USERS)


def test_runs_are_in_order_and_none_is_forgotten(database_url: str) -> None:
    class OnThisServer(ReactionMachine):
        url = database_url

    run_state_machine_as_test(  # pyright: ignore[reportUnknownMemberType]
        OnThisServer,
        settings=settings(
            max_examples=scaled(6),
            stateful_step_count=50,
            deadline=None,
            # To shrink a failure on a real server would take minutes.
            phases=(Phase.generate,),
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


class ReactionMachine(ReactionWorld):
    # The log and the follower

    @rule(user=users, gap=st.integers(1, 3))
    def record(self, user: UUID, gap: int) -> None:
        self.versions[user] += 1
        event = WantedRun(reaction="", position=self.head + gap, event_id=uuid7(), stream=user)
        self.execute(EVENT, user, self.versions[user], event.position, event.event_id)
        self.log.append(event)

    @rule(limit=st.integers(1, 5))
    def page(self, limit: int) -> None:
        after = self.progress.position
        events = [each for each in self.log if each.position > after][:limit]
        if not events:
            return
        wanted = [_wanted(name, event) for event in events for name in NAMES]
        self.run(self.progress.advance(events[-1].position, wanted))
        for each in wanted:
            name = each.reaction
            is_wanted = self.is_on[name] and self.is_available[name]
            if is_wanted and each.position > self.enabled_from[name]:
                self.expected[name, each.position] += 1

    @precondition(lambda self: self.progress.position > 0)
    @rule()
    def page_of_a_former_leader(self) -> None:
        """It changes nothing: here, that it queues no run twice, nor one of an event before."""

        async def advance() -> None:
            await self.leading_at(-1).advance(
                self.head, [_wanted("greet", each) for each in self.log]
            )

        with pytest.raises(NotLeading):
            self.run(advance())

    @rule()
    def schedule(self) -> None:
        self.run(self.schedule_of_runs.schedule(NAMES))

    @rule()
    def time_passes(self) -> None:
        self.execute("UPDATE reaction_runs SET due_at = clock_timestamp() WHERE state = 'queued'")
        self.execute("UPDATE reactions SET paused_until = clock_timestamp()")
        self.schedule()

    # The workers

    @rule()
    def begin(self) -> None:
        for (entry,) in self.execute(TAKE):
            taken = self.run(self.runs.begin(entry, NAMES))
            if taken is None:
                self.execute("DELETE FROM procrastinate_jobs WHERE id = %s", entry)
                return
            name = taken.reaction
            assert taken.is_discarded == (taken.position <= self.discarded_to[name])
            if taken.is_discarded:
                assert self.run(self.runs.end(taken, RunOutcome(state="skipped")))
                return
            for other in self.running:
                assert (other.reaction, other.stream) != (name, taken.stream), "two at once"
            self.running.append(taken)

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 9), outcome=st.sampled_from([*OUTCOMES, "done", "done"]))
    def end(self, which: int, outcome: str) -> None:
        taken = self.running.pop(which % len(self.running))
        assert self.run(self.runs.end(taken, OUTCOMES[outcome]))
        # As a repeat after a lost answer.
        assert not self.run(self.runs.end(taken, OUTCOMES["parked"]))
        self.execute("DELETE FROM procrastinate_jobs WHERE id = %s", taken.entry)
        if outcome == "done":
            self.done.append((taken.reaction, taken.stream, taken.position))

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 9))
    def kill(self, which: int) -> None:
        """The worker dies, or freezes until `thaw`: others take its run back."""
        taken = self.running.pop(which % len(self.running))
        self.frozen.append(taken)
        self.execute("UPDATE procrastinate_jobs SET worker_id = NULL WHERE id = %s", taken.entry)
        lost = self.run(self.runs.lost(12))
        assert taken.event_id in {each.id for each in lost if each.dead}
        for each in lost:
            if each.dead:
                self.run(self.runs.revive(each))
                assert not self.run(self.runs.revive(each))

    @precondition(lambda self: self.frozen)
    @rule(outcome=st.sampled_from(list(OUTCOMES)))
    def thaw(self, outcome: str) -> None:
        assert not self.run(self.runs.end(self.frozen.pop(), OUTCOMES[outcome]))

    @rule()
    def lose_an_entry(self) -> None:
        """An entry that no worker took is gone; a sweep finds the run."""
        self.execute(
            """DELETE FROM procrastinate_jobs
            WHERE id = (SELECT max(id) FROM procrastinate_jobs WHERE status = 'todo')"""
        )
        for each in self.run(self.runs.lost(12)):
            assert not each.dead
            assert not self.run(self.runs.revive(each)), "it had not begun"

    # The operators

    @rule(name=names, user=users)
    def retry(self, name: str, user: UUID) -> None:
        self.run(self.records.retry(name, user))

    @rule(name=names, user=users)
    def skip(self, name: str, user: UUID) -> None:
        skip = Skip(id=uuid7(), reason="x", actor="token:t")
        if self.run(self.records.skip(name, user, skip)):
            assert self.run(self.records.skip(name, user, skip))

    @rule(name=names, enabled=st.booleans())
    def switch(self, name: str, enabled: bool) -> None:
        self.run(self.records.switch(name, "token:t", enabled=enabled))
        if self.is_on[name] == enabled:
            return
        self.is_on[name] = enabled
        (self.enabled_from if enabled else self.discarded_to)[name] = self.head

    @rule(name=names, user=users)
    def switch_off_and_on_during_an_event(self, name: str, user: UUID) -> None:
        self.switch(name, False)
        self.switch(name, True)
        self.record(user, 1)
        self.page(len(self.log))

    @rule(name=names)
    def restart_with_other_settings(self, name: str) -> None:
        self.is_available[name] = not self.is_available[name]
        if self.is_available[name]:
            self.enabled_from[name] = self.head
        self.register()

    def teardown(self) -> None:
        try:
            self.finish()
        finally:
            self.run(self.stack.aclose())
            self.runner.close()

    def finish(self) -> None:
        """When all is well again, everything is done."""
        for name in NAMES:
            if not self.is_available[name]:
                self.restart_with_other_settings(name)
            self.switch(name, True)
        self.page(len(self.log) + 1)
        for _ in range(200):
            for name in NAMES:
                for user in USERS:
                    self.retry(name, user)
            self.time_passes()
            for _ in range(PLACES * len(NAMES)):
                self.begin()
            while self.running:
                self.end(0, "done")
            self.runs_end_in_order()
            if not self.execute(UNFINISHED):
                break
        assert self.execute(UNFINISHED) == []
        ended: dict[Literal["done", "skipped"], int] = dict(
            self.execute("SELECT state, count(*) FROM reaction_runs GROUP BY 1")
        )
        assert ended.get("done", 0) == len(self.done) == len(set(self.done))


def _wanted(name: str, event: WantedRun) -> WantedRun:
    return WantedRun(
        reaction=name, position=event.position, event_id=event.event_id, stream=event.stream
    )
