"""The rules of a token: given a history, when a command comes, then these events follow."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from domain.errors import (
    DomainError,
    InvalidValue,
    TokenAlreadyExists,
    TokenExpired,
    TokenExpiryPast,
    TokenNotFound,
)
from domain.token.claims import SCOPES, ClaimChanges, claim_changes, secret_in
from domain.token.commands import IssueToken, RevokeToken, RotateToken, TokenCommand, UseToken
from domain.token.decide import decide
from domain.token.events import (
    TOKEN_EVENTS,
    TokenEvent,
    TokenFirstUsed,
    TokenIssued,
    TokenRevoked,
    TokenRotated,
)
from domain.token.secret import PREFIX, RANDOM_BYTES, is_well_formed, secret_of
from domain.token.state import Token, evolve, fold
from domain.token.values import parse_name

NOW = datetime(2026, 12, 1, 9, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
ONE, TWO = UUID(int=1), UUID(int=2)
ISSUED = TokenIssued(name="crm", permissions=("users:read",))
EXPIRING = replace(ISSUED, expires_at=NOW + HOUR)
ROTATE = RotateToken(request=ONE, now=NOW)
AT_ONCE = TokenRotated(request=ONE)
REVOKED = TokenRevoked()


def when(*history: TokenEvent, command: TokenCommand) -> tuple[TokenEvent, ...]:
    return decide(fold(history), command)


def refused(*history: TokenEvent, command: TokenCommand, error: type[DomainError]) -> None:
    with pytest.raises(error) as refusal:
        decide(fold(history), command)
    assert refusal.type is error


def token(*history: TokenEvent) -> Token:
    state = fold(history)
    assert state is not None
    return state


def test_a_token_is_issued_once_with_its_permissions_in_order():
    command = IssueToken(name="crm", permissions=frozenset({"users:read", "events:read"}), now=NOW)
    (issued,) = when(command=command)
    assert issued == TokenIssued(name="crm", permissions=("events:read", "users:read"))
    refused(issued, command=command, error=TokenAlreadyExists)
    refused(issued, REVOKED, command=command, error=TokenAlreadyExists)


def test_a_token_expires_in_the_future_only():
    command = IssueToken(name="crm", permissions=frozenset({"admin"}), now=NOW)
    later = replace(command, expires_at=NOW + timedelta(microseconds=1))
    (issued,) = when(command=later)
    assert issued == TokenIssued(
        name="crm", permissions=("admin",), expires_at=NOW + timedelta(microseconds=1)
    )
    for expires_at in (NOW, NOW - HOUR):
        refused(command=replace(command, expires_at=expires_at), error=TokenExpiryPast)


def test_only_the_first_use_is_recorded():
    assert when(ISSUED, command=UseToken()) == (TokenFirstUsed(),)
    assert when(ISSUED, TokenFirstUsed(), command=UseToken()) == ()
    assert when(ISSUED, REVOKED, command=UseToken()) == ()


def test_a_rotation_ends_the_former_secret_at_once_or_after_an_overlap():
    assert when(ISSUED, command=ROTATE) == (AT_ONCE,)
    assert when(ISSUED, command=replace(ROTATE, overlap=HOUR)) == (
        TokenRotated(request=ONE, former_expires_at=NOW + HOUR),
    )


def test_a_request_that_is_carried_out_twice_rotates_once():
    assert when(ISSUED, AT_ONCE, command=ROTATE) == ()
    assert when(ISSUED, AT_ONCE, command=replace(ROTATE, overlap=HOUR)) == ()
    assert when(ISSUED, AT_ONCE, command=replace(ROTATE, request=TWO)) != ()


def test_an_expired_token_is_not_rotated_but_can_be_revoked():
    late = replace(ROTATE, now=NOW + HOUR)
    refused(EXPIRING, command=late, error=TokenExpired)
    assert when(EXPIRING, command=ROTATE) == (AT_ONCE,)
    assert when(EXPIRING, command=RevokeToken()) == (REVOKED,)


def test_a_revoked_token_is_gone():
    assert when(ISSUED, command=RevokeToken()) == (REVOKED,)
    assert when(ISSUED, REVOKED, command=RevokeToken()) == ()
    refused(ISSUED, REVOKED, command=ROTATE, error=TokenNotFound)


def test_no_command_issues_a_token_but_the_issue():
    for command in (UseToken(), ROTATE, RevokeToken()):
        refused(command=command, error=TokenNotFound)


def test_a_secret_is_accepted_until_the_token_expires():
    expiring = token(EXPIRING)
    assert expiring.accepts(1, NOW)
    assert expiring.accepts(1, NOW + HOUR - timedelta(microseconds=1))
    assert not expiring.accepts(1, NOW + HOUR)
    assert not expiring.accepts(2, NOW)
    assert not expiring.accepts(0, NOW)
    assert expiring.ends_at(1) == NOW + HOUR
    assert token(ISSUED).ends_at(1) is None


def test_the_former_secret_is_accepted_until_its_overlap_or_the_token_ends():
    rotated = token(ISSUED, TokenRotated(request=ONE, former_expires_at=NOW + HOUR))
    assert rotated.accepts(2, NOW + 2 * HOUR)
    assert rotated.accepts(1, NOW)
    assert not rotated.accepts(1, NOW + HOUR)
    assert (rotated.ends_at(1), rotated.ends_at(2)) == (NOW + HOUR, None)
    longer = token(EXPIRING, TokenRotated(request=ONE, former_expires_at=NOW + 2 * HOUR))
    assert longer.ends_at(1) == NOW + HOUR
    assert not longer.accepts(1, NOW + HOUR)
    assert not token(ISSUED, AT_ONCE).accepts(1, NOW)
    assert not token(EXPIRING, AT_ONCE).accepts(1, NOW)


def test_no_secret_of_a_revoked_token_is_accepted():
    rotated = TokenRotated(request=ONE, former_expires_at=NOW + HOUR)
    revoked = token(ISSUED, rotated, REVOKED)
    assert not any(revoked.accepts(secret, NOW) for secret in (1, 2))


def test_the_secrets_take_the_two_scopes_in_turn():
    issued = claim_changes(None, ISSUED)
    assert issued.take is not None
    assert issued.release == ()
    state, taken = token(ISSUED), [issued.take]
    for number in range(2, 6):
        overlapping = TokenRotated(request=UUID(int=number), former_expires_at=NOW)
        changes = claim_changes(state, overlapping)
        assert changes.take is not None
        assert changes.release == (changes.take,), "the secret before the former one ends"
        state = evolve(state, overlapping)
        assert secret_in(changes.take, state) == number
        assert secret_in(taken[-1], state) == number - 1
        taken.append(changes.take)
    assert taken == [SCOPES[number % 2] for number in range(1, 6)]


def test_what_ends_at_once_releases_its_claims():
    assert claim_changes(token(ISSUED), AT_ONCE) == ClaimChanges(SCOPES[0], SCOPES)
    assert claim_changes(token(ISSUED), REVOKED) == ClaimChanges(None, SCOPES)
    assert claim_changes(token(ISSUED), TokenFirstUsed()) == ClaimChanges()


def test_a_history_begins_with_the_issue_and_has_one():
    with pytest.raises(ValueError, match="begins with"):
        evolve(None, AT_ONCE)
    with pytest.raises(ValueError, match="once"):
        evolve(token(ISSUED), ISSUED)


def test_nothing_in_an_event_is_personal():
    assert [event.topic for event in TOKEN_EVENTS if event.personal] == []


def test_a_secret_has_a_prefix_a_checksum_and_room_for_256_random_bits():
    for random in (bytes(RANDOM_BYTES), b"\xff" * RANDOM_BYTES, bytes(range(RANDOM_BYTES))):
        secret = secret_of(random)
        assert len(secret) == len(PREFIX) + 43 + 6
        assert is_well_formed(secret)
    assert secret_of(bytes(RANDOM_BYTES)) == "rbk_" + "0" * 43 + "3ofZcw"
    with pytest.raises(ValueError, match="32 bytes"):
        secret_of(b"too short")


def test_a_typing_error_in_a_secret_is_found():
    secret = secret_of(bytes(range(RANDOM_BYTES)))
    for place in range(len(secret)):
        other = "a" if secret[place] != "a" else "b"
        assert not is_well_formed(secret[:place] + other + secret[place + 1 :])
    for text in ("", "rbk_", secret + "0", secret[:-1], secret + "\n", secret.upper(), "é" * 53):
        assert not is_well_formed(text)


@pytest.mark.parametrize("raw", ["crm", " crm ", "a" * 100, "Änderungsdienst (Köln) #2"])
def test_a_name_is_trimmed(raw: str):
    assert parse_name(raw) == raw.strip()


@pytest.mark.parametrize("raw", ["", "  ", "a" * 101, "a\nb", "a\u202eb", "\u200b"])
def test_a_name_that_cannot_be_read_is_refused(raw: str):
    with pytest.raises(InvalidValue) as refusal:
        parse_name(raw)
    assert raw.strip() == "" or raw not in str(refusal.value)
