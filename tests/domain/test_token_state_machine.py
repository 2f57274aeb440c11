"""After any sequence of commands, exactly the secrets are accepted that a simple model names."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.errors import TokenExpired, TokenNotFound
from domain.token.claims import claim_changes, secret_in
from domain.token.commands import IssueToken, RevokeToken, RotateToken, TokenCommand, UseToken
from domain.token.decide import decide
from domain.token.events import TokenEvent
from domain.token.state import Token, evolve, fold

BEGIN = datetime(2026, 12, 1, tzinfo=UTC)
FOREVER = datetime.max.replace(tzinfo=UTC)
# Few lengths, so that waits often end between two of them.
MINUTES = st.sampled_from([timedelta(minutes=minutes) for minutes in (1, 10, 20, 60, 90)])
REQUESTS = st.sampled_from([UUID(int=number) for number in range(1, 4)])


class TokenMachine(RuleBasedStateMachine):
    """The model has the end of each secret; the claims are kept as the event store keeps them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = BEGIN
        self.history: list[TokenEvent] = []
        self.token: Token | None = None
        self.expires_at = FOREVER
        self.ends: list[datetime] = []
        self.claims: dict[str, int] = {}
        self.rotated: UUID | None = None
        self.is_used = self.is_revoked = False

    def do(self, command: TokenCommand, expected: int) -> None:
        """Apply the command: it causes this number of events."""
        events = decide(self.token, command)
        assert len(events) == expected
        for event in events:
            changes = claim_changes(self.token, event)
            self.token = evolve(self.token, event)
            for scope in changes.release:
                self.claims.pop(scope, None)
            if changes.take is not None:
                assert changes.take not in self.claims, "a claim was not released"
                self.claims[changes.take] = self.token.secret
        self.history += events

    @initialize(lasts=st.none() | st.none() | MINUTES)
    def issue(self, lasts: timedelta | None) -> None:
        expires_at = None if lasts is None else BEGIN + lasts + timedelta(seconds=1)
        self.expires_at = expires_at or FOREVER
        permissions = frozenset({"users:read"})
        command = IssueToken(
            name="crm", permissions=permissions, expires_at=expires_at, now=self.now
        )
        self.do(command, 1)
        self.ends = [FOREVER]

    @rule(minutes=MINUTES)
    def wait(self, minutes: timedelta) -> None:
        self.now += minutes

    @rule(request=REQUESTS, overlap=st.just(timedelta()) | MINUTES)
    def rotate(self, request: UUID, overlap: timedelta) -> None:
        command = RotateToken(request=request, overlap=overlap, now=self.now)
        if self.is_revoked or (request != self.rotated and self.expires_at <= self.now):
            try:
                decide(self.token, command)
            except (TokenNotFound, TokenExpired):
                return
            raise AssertionError("a token that has ended was rotated")
        is_new = request != self.rotated
        self.do(command, is_new)
        if is_new:
            self.rotated = request
            self.ends = [*(self.now for _ in self.ends[:-1]), self.now + overlap, FOREVER]

    @rule()
    def use(self) -> None:
        self.do(UseToken(), not (self.is_used or self.is_revoked))
        self.is_used = self.is_used or not self.is_revoked

    # Later than several rotations, as a rule: nothing but refusals follows it.
    @precondition(lambda self: self.is_revoked or len(self.history) > 3)
    @rule()
    def revoke(self) -> None:
        self.do(RevokeToken(), not self.is_revoked)
        self.is_revoked = True
        self.ends = [min(end, self.now) for end in self.ends]

    @invariant()
    def exactly_the_right_secrets_are_accepted(self) -> None:
        if self.token is None:
            return
        assert self.token == fold(self.history)
        expected = {
            number
            for number, end in enumerate(self.ends, start=1)
            if self.now < min(end, self.expires_at)
        }
        numbers = range(len(self.ends) + 2)
        assert {each for each in numbers if self.token.accepts(each, self.now)} == expected
        by_claim = {
            number
            for scope, number in self.claims.items()
            if secret_in(scope, self.token) == number and self.token.accepts(number, self.now)
        }
        assert by_claim == expected
        assert {secret_in(scope, self.token) for scope in self.claims} == set(self.claims.values())
        held = {self.token.secret, self.token.secret - (self.token.former_expires_at is not None)}
        assert set(self.claims.values()) == (set() if self.is_revoked else held)


TestTokenMachine = TokenMachine.TestCase
