"""What operators do: enable, disable, retry, skip; and what a release or a setting changes."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from application.doorbell import PARKED
from application.live.notifications import run_parked_notifications
from application.reactions.admin import NotParked, ReactionAdmin, Skip
from application.reactions.mail import Mail
from application.reactions.reaction import ReactionContext, ReactionFailed, reaction
from domain.event import Event, Recorded
from domain.user.events import UserRegistered, UserRoleChanged
from infrastructure.housekeeping.postgres import statement_of
from infrastructure.notifications.postgres import PostgresNotifications
from infrastructure.reactions.records import PostgresReactionRecords
from tests.support.reactions.bench import ReactionBench
from tests.support.run.background import in_background
from tests.support.views.directory import execute


@pytest.fixture
async def bench(database_url: str) -> AsyncIterator[ReactionBench]:
    async with ReactionBench.open(database_url) as bench:
        yield bench


class Failing:
    """A reaction that fails for good for some users."""

    def __init__(self) -> None:
        self.failing: set[UUID] = set()
        self.done: list[tuple[UUID, int]] = []

        @reaction(name="mail", types=[UserRegistered, UserRoleChanged])
        async def mail(recorded: Recorded[Event], _: ReactionContext) -> None:
            """Mails something."""
            if recorded.stream in self.failing:
                raise ReactionFailed("the address is refused")
            self.done.append((recorded.stream, recorded.position))

        self.reaction = mail

    def admin(self, bench: ReactionBench) -> ReactionAdmin:
        records = PostgresReactionRecords(bench.store.database)
        return ReactionAdmin((self.reaction,), records, bench.doorbell)


def left() -> Skip:
    return Skip(id=uuid7(), reason="left", actor="token:a")


async def test_a_parked_user_is_retried_and_the_later_events_follow(bench: ReactionBench) -> None:
    failing, user = Failing(), uuid7()
    admin = failing.admin(bench)
    failing.failing.add(user)
    async with bench.working(failing.reaction):
        first = (await bench.register(user)).position
        later = await bench.change_role(user, 2)
        await bench.until_counts("mail", parked=1, waiting=2)
        (parked,) = await admin.parked("mail", 0, 10)
        (status,) = await admin.statuses()
        assert (status.state, status.parked, status.queued, status.lag) == ("on", 1, 2, 0)
        assert (parked.user, parked.position, parked.type) == (user, first, "user.registered")
        assert (parked.error, parked.tries, parked.waiting) == ("the address is refused", 1, 2)
        await admin.retry("mail", user)
        await bench.until_counts("mail", parked=1, waiting=2)
        failing.failing.clear()
        await admin.retry("mail", user)
        await bench.until_counts("mail", done=3)
        with pytest.raises(NotParked):
            await admin.retry("mail", user)
    assert failing.done == [(user, first), (user, later[0]), (user, later[1])]


async def test_a_skipped_event_is_recorded_and_the_later_ones_follow(bench: ReactionBench) -> None:
    failing, user = Failing(), uuid7()
    admin = failing.admin(bench)
    failing.failing.add(user)
    async with bench.working(failing.reaction):
        await bench.register(user)
        (later,) = await bench.change_role(user)
        await bench.until_counts("mail", parked=1, waiting=1)
        failing.failing.clear()
        await admin.skip("mail", user, left())
        await bench.until_counts("mail", skipped=1, done=1)
    assert failing.done == [(user, later)]
    rows = await execute(
        bench.url, "SELECT skipped_by, skip_reason FROM reaction_runs WHERE state = 'skipped'"
    )
    assert rows == [("token:a", "left")]


async def test_a_disabled_reaction_discards_and_an_enabled_one_begins_at_the_head(
    bench: ReactionBench,
) -> None:
    failing, user = Failing(), uuid7()
    admin = failing.admin(bench)
    failing.failing.add(user)
    async with bench.working(failing.reaction):
        await bench.register(user)
        await bench.change_role(user)
        await bench.until_counts("mail", parked=1, waiting=1)
        off = await admin.switch("mail", "token:a", enabled=False)
        assert (off.state, off.reason, off.parked) == ("off", "disabled by token:a", 0)
        await bench.until_counts("mail", skipped=2)
        await bench.change_role(user)
        failing.failing.clear()
        on = await admin.switch("mail", "token:a", enabled=True)
        assert (on.state, on.reason) == ("on", None)
        (position,) = await bench.change_role(user)
        await bench.until_counts("mail", skipped=2, done=1)
    assert failing.done == [(user, position)]


async def test_a_reaction_without_its_settings_is_off_and_says_so(bench: ReactionBench) -> None:
    sent: list[str] = []

    class Mailer:
        async def send(self, mail: Mail) -> None:
            sent.append(mail.to)

    @reaction(
        name="mail", types=[UserRegistered], opens=True, needs_mail=True, needs=("welcome_url",)
    )
    async def mail(recorded: Recorded[UserRegistered], context: ReactionContext) -> None:
        to = str(recorded.event.email)
        values = {"url": context.options["welcome_url"]}
        await context.mail.send(
            Mail(template="t", to=to, event_id=recorded.event_id, values=values)
        )

    admin = ReactionAdmin((mail,), PostgresReactionRecords(bench.store.database), bench.doorbell)
    options = {"welcome_url": "https://example.org"}
    async with bench.working(mail, until_on=False):
        await bench.until(lambda: _reason(admin, "ROLLBOOK_SMTP_URL and ROLLBOOK_WELCOME_URL"))
        await bench.register()
    async with bench.working(mail, mail=Mailer(), options=options):
        user = uuid7()
        await bench.register(user)
        await bench.until_counts("mail", done=1)
    assert sent == [f"{user}@example.com"]
    async with bench.working(mail, options=options, until_on=False):
        await bench.until(lambda: _reason(admin, "ROLLBOOK_SMTP_URL is not set"))


async def _reason(admin: ReactionAdmin, words: str) -> bool:
    (status,) = await admin.statuses()
    return status.state == "off" and words in (status.reason or "")


async def test_users_of_an_import_are_left_out_unless_the_option_says_otherwise(
    bench: ReactionBench,
) -> None:
    @reaction(
        name="welcome", types=[UserRegistered], skips_imports=True, imports_option="also_imports"
    )
    async def welcome(recorded: Recorded[UserRegistered], _: ReactionContext) -> None:
        """Welcomes."""

    imported = bench.store.keys.import_id
    async with bench.working(welcome):
        await bench.register(imported("one"))
        await bench.register()
        await bench.until_counts("welcome", done=1)
    async with bench.working(welcome, options={"also_imports": "true"}):
        await bench.register(imported("two"))
        await bench.until_counts("welcome", done=2)


async def test_a_reaction_that_the_release_does_not_have_breaks_nothing(
    bench: ReactionBench,
) -> None:
    failing, user = Failing(), uuid7()
    failing.failing.add(user)
    async with bench.working(failing.reaction):
        await bench.register(user)
        await bench.until_counts("mail", parked=1)

    @reaction(name="other", types=[UserRegistered])
    async def other(recorded: Recorded[UserRegistered], _: ReactionContext) -> None:
        """Does nothing."""

    records = PostgresReactionRecords(bench.store.database)
    admin = ReactionAdmin((other,), records, bench.doorbell)
    await execute(bench.url, "UPDATE reactions SET seen_at = now() - interval '1 minute'")
    async with bench.working(other):
        await bench.register()
        await bench.until_counts("other", done=1)
        here, gone = await admin.statuses()
        assert (here.name, here.state) == ("other", "on")
        assert (gone.name, gone.state, gone.parked) == ("mail", "off", 1)
        assert gone.reason == "this release does not have it"
        await admin.switch("mail", "token:a", enabled=False)
        await bench.until_counts("mail", skipped=1)


async def test_people_are_notified_once_of_parked_users(bench: ReactionBench) -> None:
    failing, users = Failing(), [uuid7(), uuid7()]
    admin = failing.admin(bench)
    failing.failing.update(users)
    notifications = PostgresNotifications(bench.store.database, uuid7)
    async with bench.working(failing.reaction):
        await bench.register(*users)
        await bench.until_counts("mail", parked=2)
        watch = run_parked_notifications(notifications, bench.doorbell)
        async with in_background(watch):
            await bench.until(lambda: _messages(notifications, 1))
            await admin.skip("mail", users[0], left())
            await admin.skip("mail", users[1], left())
            bench.doorbell.ring(PARKED)
            await bench.until(lambda: _messages(notifications, 2))
    found = [each for _, each in await notifications.after(0, 10)]
    assert [(each.severity, each.message, each.about) for each in found] == [
        ("warning", "mail: 2 parked users", "/v1/reactions/mail/parked"),
        ("success", "mail: nothing is parked any more", "/v1/reactions/mail/parked"),
    ]


async def _messages(notifications: PostgresNotifications, number: int) -> bool:
    return len(await notifications.after(0, 10)) >= number


async def test_finished_runs_are_kept_for_a_month(bench: ReactionBench) -> None:
    failing = Failing()
    async with bench.working(failing.reaction):
        await bench.register(uuid7(), uuid7())
        await bench.until_counts("mail", done=2)
        await bench.until(lambda: _followed(bench.url))
    await execute(
        bench.url,
        """UPDATE reaction_runs SET finished_at = now() - interval '31 days'
        WHERE event_id = (SELECT event_id FROM reaction_runs LIMIT 1)""",
    )
    purge = statement_of("reaction_runs").decode()
    assert await execute(bench.url, purge) == [(1, True)]
    assert await execute(bench.url, purge) == [(0, False)]
    plan = await execute(bench.url, f"SET enable_seqscan = off; EXPLAIN {purge}")
    assert plan == [] or "reaction_runs_finished" in str(plan)
    assert await bench.counts("mail") == {"done": 1}


async def _followed(url: str) -> Any:
    return not await execute(url, "SELECT event_id FROM reaction_runs WHERE follow_up")
