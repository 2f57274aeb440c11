"""What starts a reaction, what becomes of a run that failed, and which reactions are available."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from application.errors import Overloaded, Unavailable
from application.reactions.availability import NoMailer, availability
from application.reactions.follower import starts
from application.reactions.lines import Lines
from application.reactions.mail import Mail
from application.reactions.outcomes import outcome_of
from application.reactions.reaction import TRIES, ReactionContext, ReactionFailed, reaction
from application.reactions.runs import TakenRun, outage_seconds, retry_seconds
from domain.event import Recorded
from domain.user.events import UserRegistered, UserSuspended

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TAKEN = TakenRun(
    reaction="greet",
    event_id=uuid7(),
    position=7,
    stream=uuid7(),
    attempt=1,
    entry=1,
    tries=0,
    outages=0,
    since=NOW - timedelta(hours=1),
    is_discarded=False,
)
RECORDED = Recorded(
    event=UserRegistered(name="Ada", email="ada@example.org", role="member"),
    kind="user",
    stream=uuid7(),
    version=1,
    position=7,
    event_id=uuid7(),
    actor="token:t",
    on_behalf_of=None,
    correlation_id="c",
    causation_id=None,
    recorded_at=NOW,
)


@reaction(
    name="greet",
    types=[UserRegistered],
    needs_mail=True,
    needs=("welcome_url",),
    skips_imports=True,
    imports_option="welcome_imports",
)
async def greet(recorded: Recorded[UserRegistered], context: ReactionContext) -> None:
    """Greets a new
    user.

    In person.
    """


def test_the_first_paragraph_describes_a_reaction() -> None:
    assert greet.description == "Greets a new user."


def test_an_event_of_its_types_starts_a_reaction() -> None:
    assert starts(greet, RECORDED, {})
    assert not starts(greet, replace(RECORDED, event=UserSuspended()), {})


def test_made_up_events_start_none() -> None:
    assert not starts(greet, replace(RECORDED, actor="system:seed"), {})


def test_users_of_an_import_start_one_if_the_option_says_so() -> None:
    imported = replace(RECORDED, stream=UUID("018f0000-0000-8000-8000-000000000001"))
    assert not starts(greet, imported, {})
    assert not starts(greet, imported, {"welcome_imports": "false"})
    assert starts(greet, imported, {"welcome_imports": "true"})
    assert starts(replace(greet, skips_imports=False), imported, {})


@pytest.mark.parametrize(
    ("options", "has_mail", "missing"),
    [
        ({}, False, "ROLLBOOK_SMTP_URL and ROLLBOOK_WELCOME_URL are not set"),
        ({"welcome_url": ""}, True, "ROLLBOOK_WELCOME_URL is not set"),
        ({"welcome_url": "https://example.org"}, False, "ROLLBOOK_SMTP_URL is not set"),
        ({"welcome_url": "https://example.org"}, True, None),
    ],
)
def test_a_reaction_without_its_settings_says_which(
    options: dict[str, str], has_mail: bool, missing: str | None
) -> None:
    (found,) = availability([greet], options, has_mail=has_mail)
    assert found.missing == missing


async def test_mail_without_a_declaration_is_a_failure_for_good() -> None:
    mail = Mail(template="hello", to="ada@example.org", event_id=uuid7(), values={})
    with pytest.raises(ReactionFailed) as raised:
        await NoMailer().send(mail)
    assert "ada" not in str(raised.value)


def test_a_failure_for_good_parks_at_once() -> None:
    outcome = outcome_of(ReactionFailed("refused"), TAKEN, TRIES, NOW)
    assert (outcome.state, outcome.error, outcome.failed) == ("parked", "refused", True)


def test_other_failures_are_retried_until_the_last_try() -> None:
    states = [
        outcome_of(ValueError("Ada"), replace(TAKEN, tries=tries), TRIES, NOW).state
        for tries in range(TRIES)
    ]
    assert states == ["queued"] * (TRIES - 1) + ["parked"]
    assert outcome_of(ValueError("Ada"), TAKEN, TRIES, NOW).error == "ValueError"


@pytest.mark.parametrize("error", [Unavailable(), Overloaded()])
def test_an_outage_is_waited_for_a_day(error: Exception) -> None:
    many = replace(TAKEN, tries=TRIES - 1, outages=1000)
    outcome = outcome_of(error, many, TRIES, NOW)
    assert (outcome.state, outcome.failed, outcome.outage) == ("queued", False, True)
    old = replace(many, since=NOW - timedelta(hours=25))
    assert outcome_of(error, old, TRIES, NOW).state == "parked"


def test_retries_cover_a_greylisting_and_grow_to_an_hour() -> None:
    pauses = [retry_seconds(tries) for tries in range(1, TRIES)]
    assert 3 <= pauses[0] <= 5
    assert sum(pauses[:4]) > 300
    assert max(pauses) <= 3600
    assert retry_seconds(1000) >= 2880
    assert 0.8 <= outage_seconds(1) <= 1
    assert 48 <= outage_seconds(1000) <= 60


def test_lines_about_single_runs_are_limited_and_counted() -> None:
    now = 0.0
    lines = Lines(lambda: now)
    with capture_logs() as logged:
        for _ in range(50):
            lines.warning("reaction_run_failed", reaction="greet")
        now = 11.0
        lines.info("reaction_run_is_outdated", reaction="greet")
    assert len(logged) == 22
    assert (logged[20]["event"], logged[20]["count"]) == ("reaction_lines_left_out", 30)
