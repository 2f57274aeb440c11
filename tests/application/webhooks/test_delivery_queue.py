"""No event is skipped and no user's events change their order, whatever fails, waits or crashes."""

from datetime import UTC, datetime
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from application.webhooks.delivery_queue import DeliveryQueue
from domain.event import Event, Recorded
from domain.user.events import UserErased

USERS = [UUID(int=number) for number in range(1, 5)]
# Positions have holes, and a checkpoint must be the position of an event.
STEP = 3


def event(position: int, user: UUID) -> Recorded[Event]:
    return Recorded[Event](
        event=UserErased(),
        kind="user",
        stream=user,
        version=1,
        position=position,
        event_id=UUID(int=position),
        actor="token:t",
        on_behalf_of=None,
        correlation_id="test",
        causation_id=None,
        recorded_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


class Deliveries(RuleBasedStateMachine):
    """A log, a queue that reads it, and what an endpoint has accepted."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[Recorded[Event]] = []
        self.queue = DeliveryQueue(0, ())
        self.in_flight: list[Recorded[Event]] = []
        # The first event of each parked user that was not delivered.
        self.parked: dict[UUID, int] = {}
        self.saved: tuple[int, dict[UUID, int]] = (0, {})
        self.accepted: list[int] = []
        self.accepted_since_start: list[int] = []

    @rule(user=st.sampled_from(USERS))
    def record(self, user: UUID) -> None:
        self.log.append(event((len(self.log) + 1) * STEP, user))

    @rule(limit=st.integers(1, 5))
    def read(self, limit: int) -> None:
        page = [each for each in self.log if each.position > self.queue.read_to][:limit]
        self.queue.add(page, page[-1].position if page else self.queue.read_to)

    @precondition(lambda self: self.queue.ready)
    @rule(data=st.data())
    def send(self, data: st.DataObject) -> None:
        user = data.draw(st.sampled_from([None, *self.queue.ready]))
        recorded = self.queue.next(user)
        assert recorded is not None
        self.in_flight.append(recorded)

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), answer=st.sampled_from(["accept", "accept", "fail", "park"]))
    def answer(self, data: st.DataObject, answer: str) -> None:
        recorded = data.draw(st.sampled_from(self.in_flight))
        self.in_flight.remove(recorded)
        if answer == "accept":
            self.accept(recorded)
            self.queue.delivered(recorded)
        elif answer == "fail":
            self.queue.failed(recorded)
        else:
            self.queue.park(recorded)
            self.parked[recorded.stream] = recorded.position

    @precondition(lambda self: self.parked)
    @rule(data=st.data(), budget=st.integers(0, 4))
    def try_parked(self, data: st.DataObject, budget: int) -> None:
        user = data.draw(st.sampled_from(list(self.parked)))
        waiting = [
            each
            for each in self.log
            if each.stream == user and self.parked[user] <= each.position <= self.queue.read_to
        ]
        for recorded in waiting[:budget]:
            self.accept(recorded)
            self.queue.note_delivered(recorded.position)
            self.parked[user] = recorded.position + 1
        if len(waiting) <= budget:
            self.queue.unpark(user)
            del self.parked[user]

    @precondition(lambda self: not self.in_flight)
    @rule()
    def pause(self) -> None:
        self.queue.clear()

    @rule()
    def save(self) -> None:
        self.saved = (self.queue.checkpoint, dict(self.parked))

    @rule()
    def crash(self) -> None:
        position, parked = self.saved
        self.parked = dict(parked)
        self.queue = DeliveryQueue(position, parked)
        self.in_flight.clear()
        self.accepted_since_start.clear()

    def accept(self, recorded: Recorded[Event]) -> None:
        self.accepted.append(recorded.position)
        assert recorded.position not in self.accepted_since_start, "twice without a crash"
        self.accepted_since_start.append(recorded.position)

    @invariant()
    def nothing_up_to_the_checkpoint_is_missing(self) -> None:
        accepted = set(self.accepted)
        for recorded in self.log:
            if recorded.position <= self.queue.checkpoint:
                waits_from = self.parked.get(recorded.stream)
                assert recorded.position in accepted or (
                    waits_from is not None and waits_from <= recorded.position
                )

    @invariant()
    def the_checkpoint_is_a_position_of_the_log(self) -> None:
        assert self.queue.checkpoint in {0, *(each.position for each in self.log)}
        assert self.queue.checkpoint <= self.queue.read_to

    @invariant()
    def each_user_has_one_delivery_in_flight(self) -> None:
        users = [each.stream for each in self.in_flight]
        assert len(users) == len(set(users)) == self.queue.in_flight

    def teardown(self) -> None:
        """The endpoint accepts everything from now on."""
        for recorded in self.in_flight:
            self.accept(recorded)
            self.queue.delivered(recorded)
        while self.queue.read_to < len(self.log) * STEP or self.queue.waiting:
            self.read(5)
            while (recorded := self.queue.next()) is not None:
                self.accept(recorded)
                self.queue.delivered(recorded)
        for user, waits_from in self.parked.items():
            for recorded in self.log:
                if recorded.stream == user and recorded.position >= waits_from:
                    self.accept(recorded)
        assert self.queue.checkpoint == self.queue.read_to
        for user in USERS:
            positions = [each.position for each in self.log if each.stream == user]
            mine = set(positions)
            first_deliveries = list(dict.fromkeys(each for each in self.accepted if each in mine))
            assert first_deliveries == positions


TestDeliveries = Deliveries.TestCase


def test_what_was_delivered_before_an_older_event_is_not_sent_again_after_a_pause() -> None:
    first, second, third = (event(number * STEP, user) for number, user in enumerate(USERS[:3], 1))
    queue = DeliveryQueue(0, [USERS[2]])
    queue.add([first, second, third], third.position)
    failing, delivered = queue.next(), queue.next()
    assert (failing, delivered) == (first, second)
    queue.delivered(second)
    queue.failed(first)
    queue.note_delivered(third.position)
    queue.unpark(USERS[2])
    queue.clear()
    assert queue.read_to == queue.checkpoint == 0
    queue.add([first, second, third], third.position)
    assert queue.next() == first
    assert queue.next() is None
    queue.delivered(first)
    assert queue.checkpoint == third.position
