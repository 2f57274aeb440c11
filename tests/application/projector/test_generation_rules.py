"""The rules of generations as a model: whatever happens in whatever order, one of them serves well."""

from typing import Literal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec import Struct, field

State = Literal["filling", "following", "dropped"]
SwitchIf = Literal["always", "differing", "never"]

streams = st.integers(0, 3)
revisions = st.integers(1, 3)


class Generation(Struct):
    """One build: the streams that are parked in it, and those whose views are wrong."""

    number: int
    revision: int
    state: State = "filling"
    has_served: bool = False
    is_retired: bool = False
    parked: set[int] = field(default_factory=set[int])
    wrong: set[int] = field(default_factory=set[int])


class Job(Struct):
    """The build under way: a crash leaves it to the next process that has its revision."""

    generation: Generation
    switch_if: SwitchIf
    is_automatic: bool
    is_running: bool = True


class GenerationRules(RuleBasedStateMachine):
    """Processes with different revisions start and stop; each rule is a step of one of them."""

    def __init__(self) -> None:
        super().__init__()
        self.running = {1}
        # For each revision, the streams whose events its code cannot apply.
        self.broken: dict[int, set[int]] = {1: set(), 2: set(), 3: set()}
        first = Generation(1, 1, "following", has_served=True)
        self.generations = [first]
        self.serving = first
        self.job: Job | None = None
        self.automatic: list[int] = []

    # Events and single streams

    @rule(stream=streams, unable=st.sets(revisions), data=st.data())
    def an_event_is_parked(self, stream: int, unable: set[int], data: st.DataObject) -> None:
        """An event comes that some revisions cannot apply; each generation has one leader."""
        for revision in unable:
            self.broken[revision].add(stream)
        for generation in self.followed:
            # A process leads no generation of a revision that is newer than its own.
            leaders = sorted(each for each in self.running if each >= generation.revision)
            if leaders and stream in self.broken[data.draw(st.sampled_from(leaders))]:
                generation.parked.add(stream)

    @rule(stream=streams, how=st.sampled_from(["retry", "skip"]))
    def repair(self, stream: int, how: str) -> None:
        """Only what the serving generation has parked is shown, and can be skipped."""
        if how == "skip" and stream in self.serving.parked:
            for unable in self.broken.values():
                unable.discard(stream)
        for generation in self.followed:
            able = [each for each in self.running if stream not in self.broken[each]]
            if any(each >= generation.revision for each in able):
                generation.parked.discard(stream)

    @rule(stream=streams)
    def damage(self, stream: int) -> None:
        self.serving.wrong.add(stream)

    # Processes

    @rule(revision=revisions)
    def start(self, revision: int) -> None:
        """A process that finds an older revision serving rebuilds, once for each revision."""
        self.running.add(revision)
        is_new = revision > max(each.revision for each in self.generations if each.has_served)
        if is_new and self.job is None:
            self._begin(revision, "always", is_automatic=True)

    @rule(revision=revisions)
    def deploy(self, revision: int) -> None:
        """A release starts, and the build under way runs to its end."""
        self.start(revision)
        while self.job and self.job.is_running:
            self.work()

    @rule(revision=revisions)
    @precondition(lambda self: len(self.running) > 1)
    def stop(self, revision: int) -> None:
        if self.running != {revision}:
            self.running.discard(revision)
            if self.job and self.job.generation.revision == revision:
                self.job.is_running = False

    # Builds

    @rule(switch_if=st.sampled_from(["always", "differing", "never"]), data=st.data())
    def build(self, switch_if: SwitchIf, data: st.DataObject) -> None:
        """One build at a time. Another revision drops a build that was left, the same resumes it."""
        revision = data.draw(st.sampled_from(sorted(self.running)))
        # Builds go upwards only: an older process does not undo a deployment.
        if revision < self.serving.revision or (self.job and self.job.is_running):
            return
        if self.job and self.job.generation.revision == revision:
            self.job.switch_if, self.job.is_running = switch_if, True
            return
        if self.job:
            self._drop(self.job.generation)
        self._begin(revision, switch_if, is_automatic=False)

    def _begin(self, revision: int, switch_if: SwitchIf, *, is_automatic: bool) -> None:
        generation = Generation(len(self.generations) + 1, revision)
        self.generations.append(generation)
        self.job = Job(generation, switch_if, is_automatic)

    @rule()
    @precondition(lambda self: self.job is not None and self.job.is_running)
    def work(self) -> None:
        """Fill the new generation, or compare and switch."""
        assert self.job is not None
        new = self.job.generation
        if new.state == "filling":
            new.state = "following"
            new.parked = set(self.broken[new.revision])
        else:
            self._complete(self.job, self.serving, new)

    def _complete(self, job: Job, old: Generation, new: Generation) -> None:
        newly_parked = new.parked - old.parked
        differs = bool(old.wrong - new.parked or old.parked - new.parked)
        switches = job.switch_if == "always" or (job.switch_if == "differing" and differs)
        self.job = None
        if newly_parked or not switches:
            self._drop(new)
            return
        self._serve(new)
        assert new.parked <= old.parked, "a switch parks no stream that was shown"
        if job.is_automatic:
            assert new.revision not in self.automatic, "a revision is not built twice by itself"
            self.automatic.append(new.revision)

    @rule(how=st.sampled_from(["cancel", "crash"]))
    @precondition(lambda self: self.job is not None)
    def interrupt(self, how: str) -> None:
        assert self.job is not None
        if how == "crash":
            self.job.is_running = False
        else:
            self._drop(self.job.generation)
            self.job = None

    # Generations that served

    @rule()
    def roll_back(self) -> None:
        former = [each for each in self.followed if each.is_retired]
        if former:
            self._serve(former[-1])

    @rule()
    def expire(self) -> None:
        """A day has passed: what does not serve is dropped, also builds that nobody resumed."""
        for generation in self.followed:
            if generation.is_retired:
                self._drop(generation)
        if self.job and not self.job.is_running:
            self.interrupt("cancel")

    def _serve(self, new: Generation) -> None:
        """The switch retires the former one; nothing else does. Earlier ones expire soon."""
        for generation in self.followed:
            if generation.is_retired and generation is not new:
                self._drop(generation)
        self.serving.is_retired = True
        new.is_retired, new.has_served = False, True
        self.serving = new

    def _drop(self, generation: Generation) -> None:
        assert generation is not self.serving, "what serves is never dropped"
        generation.state = "dropped"

    @property
    def followed(self) -> list[Generation]:
        return [each for each in self.generations if each.state == "following"]

    @invariant()
    def something_serves(self) -> None:
        assert self.serving.state == "following"
        assert self.serving.has_served
        assert not self.serving.is_retired

    @invariant()
    def few_generations_are_followed(self) -> None:
        """The serving one, the former one, and the one that is built."""
        assert len(self.followed) <= 3

    @invariant()
    def builds_by_themselves_only_go_upwards(self) -> None:
        assert self.automatic == sorted(set(self.automatic))


GenerationRules.TestCase.settings = settings(max_examples=200, stateful_step_count=50)
test_one_generation_serves_well_whatever_happens = GenerationRules.TestCase
