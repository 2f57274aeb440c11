"""Exports on a real server: one position under writes, dead workers, erasures and expiry."""

import asyncio
import random
from collections.abc import AsyncGenerator
from typing import Final
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from application.audit.items import AuditItem
from application.audit.search import AuditQuery
from application.exports.requests import PIECE_ROWS, ExportSpec
from application.exports.rows import ExportGone
from application.jobs.model import Job, JobQuery
from application.queries.directory import UserList
from application.queries.resources import User
from domain.email import comparable_address
from domain.errors import DomainError
from domain.user.commands import ChangeUser, DeleteUser, EraseUser, RegisterUser
from domain.values import EmailAddress, PersonName, Role
from infrastructure.housekeeping.postgres import PostgresHousekeeping
from tests.benchmarks.seeding import seed
from tests.support.jobs.exporting import ExportWorld
from tests.support.log.drafts import context
from tests.support.run.background import module_process
from tests.support.servers.postgres import scaled
from tests.support.views.directory import execute

ALL_STATUSES: Final = ("active", "suspended", "deleted", "erased")
ALL: Final = ExportSpec(format="ndjson", users=UserList(statuses=ALL_STATUSES))
NAMING: Final = ExportSpec(format="ndjson", users=UserList(words="user"))
AUDIT: Final = ExportSpec(format="ndjson", audit=AuditQuery(kinds=("user",)))


@pytest.fixture
async def world(database_url: str) -> AsyncGenerator[ExportWorld]:
    async with ExportWorld.open(database_url) as world, world.views.projecting():
        yield world


@pytest.fixture
async def seeded(database_url: str) -> AsyncGenerator[ExportWorld]:
    """With a few thousand users, with three events each on average."""
    async with ExportWorld.open(database_url) as world:
        await seed(database_url, world.views.events.keys, scaled(7500))
        async with world.views.projecting():
            await world.views.caught_up()
            yield world


async def register(world: ExportWorld, name: str = "Ada") -> UUID:
    user = uuid7()
    command = RegisterUser(
        user_id=user,
        name=PersonName.parse(name),
        email=EmailAddress.parse(f"{user}@example.org"),
        role=Role.parse("member"),
    )
    await world.commands.execute(user, command, context(), status=201)
    return user


async def rename(world: ExportWorld, user: UUID, name: str) -> None:
    await world.commands.execute(user, ChangeUser(name=PersonName.parse(name)), context())


async def users_in(world: ExportWorld, job: Job) -> list[User]:
    rows = await world.file(job)
    return [row for row in rows if isinstance(row, User)]


async def items_in(world: ExportWorld, job: Job, *, opened: bool = True) -> list[AuditItem]:
    rows = await world.file(job, opened=opened)
    return [row for row in rows if isinstance(row, AuditItem)]


async def test_an_export_shows_one_position_and_each_user_once_under_writes(
    seeded: ExportWorld,
) -> None:
    known = [row[0] for row in await execute(seeded.views.url, "SELECT id FROM users_g1")]
    stop = asyncio.Event()

    async def write(chance: random.Random) -> None:
        while not stop.is_set():
            try:
                match chance.randrange(4):
                    case 0:
                        await register(seeded)
                    case 1:
                        await seeded.commands.execute(chance.choice(known), DeleteUser(), context())
                    case _:
                        await rename(seeded, chance.choice(known), f"Zoë {chance.random()}")
            except DomainError:
                continue

    writers = [asyncio.create_task(write(random.Random(n))) for n in range(4)]
    jobs = [await seeded.done(each) for each in (ALL, AUDIT)]
    await asyncio.sleep(0.5)
    stop.set()
    await asyncio.gather(*writers)
    users, items = await users_in(seeded, jobs[0]), await items_in(seeded, jobs[1])
    position = (jobs[0].result or {})["position"]
    versions = {
        str(stream): version
        for stream, version in await execute(
            seeded.views.url,
            "SELECT originator_id, max(originator_version) FROM stored_events"
            " WHERE notification_id <= %s AND kind = 'user' GROUP BY 1",
            position,
        )
    }
    assert {user.id: user.version for user in users} == versions
    assert len(users) == len(versions) == (jobs[0].result or {})["rows"]
    assert len(users) > 2 * PIECE_ROWS
    log = await execute(
        seeded.views.url,
        "SELECT notification_id FROM stored_events"
        " WHERE notification_id <= %s AND kind = 'user' ORDER BY 1 DESC",
        (jobs[1].result or {})["position"],
    )
    assert [item.position for item in items] == [row[0] for row in log]
    # Both ways to a past version give the same user.
    for user in random.Random(7).sample(users, 50):
        state = await seeded.commands.user_at(UUID(user.id), version=user.version)
        assert user == User.of_state(state)


async def test_a_worker_that_is_killed_in_the_middle_leaves_no_row_twice(
    seeded: ExportWorld,
) -> None:
    url, spec = seeded.views.url, ExportSpec(format="csv", users=UserList(sort="name"))
    expected = [user.id for user in await users_in(seeded, await seeded.done(spec))]
    job = await seeded.ask(spec)
    async with module_process("tests.support.processes.export", url) as worker:
        async with asyncio.timeout(20):
            count = "SELECT count(*) FROM export_pieces WHERE export = %s"
            while (await execute(url, count, job.id))[0][0] < 2:
                await asyncio.sleep(0.02)
        worker.kill()
        await worker.wait()
    async with seeded.bench.working(seeded.kind):
        done = await seeded.bench.wait_for(job, timeout_seconds=30)
    assert (done.state, done.attempts) == ("succeeded", 2)
    assert [user.id for user in await users_in(seeded, done)] == expected
    # A late call of the dead worker is refused.
    assert not await seeded.exports.begin(job.id, 1)


async def test_an_erased_user_is_gone_from_the_files_at_once_and_was_not_stored_in_them(
    world: ExportWorld,
) -> None:
    ada, zoe = await register(world), await register(world, "Zoë Quasarhopper")
    users, audit = await world.done(ALL), await world.done(AUDIT)
    assert [user.name for user in await users_in(world, users)] == ["Ada", "Zoë Quasarhopper"]
    await rename(world, ada, "Ada King")
    stored = str(await execute(world.views.url, "SELECT e.*, p.* FROM exports e, export_pieces p"))
    assert "Quasarhopper" not in stored
    await world.commands.execute(zoe, EraseUser(), context())
    await world.views.caught_up()
    assert [user.name for user in await users_in(world, users)] == ["Ada"]
    hers = [item for item in await items_in(world, audit) if item.subject == zoe]
    assert [(item.personal, item.changes["name"].after) for item in hers] == [("erased", None)]
    later = await world.done(ALL)
    assert [user.status for user in await users_in(world, later)] == ["active", "erased"]


async def test_filters_and_orders_are_those_of_the_list(world: ExportWorld) -> None:
    ada, zoe, owner = [await register(world, name) for name in ("Ada", "Zoë Öz", "Ada Owner")]
    await world.commands.execute(owner, ChangeUser(role=Role.parse("owner")), context())
    await world.commands.execute(zoe, DeleteUser(), context())
    head = await world.views.caught_up()
    assert head == 5
    for asked in (
        UserList(),
        UserList(words="ada"),
        UserList(words="oz zo", statuses=("deleted",)),
        UserList(words="nobody"),
        UserList(roles=("owner",)),
        UserList(ids=(ada, zoe), statuses=ALL_STATUSES, sort="name", descending=True),
        UserList(emails=(comparable_address(f"{ada}@example.org"),)),
        UserList(external_ids=("none",)),
        UserList(sort="updated_at", descending=True),
        UserList(sort="email"),
    ):
        listed = (await world.views.queries.users(asked)).value.items
        job = await world.done(ExportSpec(format="csv", users=asked))
        assert await users_in(world, job) == [User.of_view(view) for view in listed], asked


async def test_an_export_waits_for_the_view(database_url: str) -> None:
    async with ExportWorld.open(database_url) as world:
        await register(world)
        async with world.bench.working(world.kind):
            job = await world.ask(ALL)
            waiting = await world.bench.wait_until(job, lambda it: it.error is not None)
            assert waiting.error is not None
            assert "has not reached the position" in waiting.error
            async with world.views.projecting():
                done = await world.bench.wait_for(job)
    assert (done.result or {})["rows"] == 1


async def test_a_cancelled_export_leaves_no_request_and_no_piece(seeded: ExportWorld) -> None:
    url = seeded.views.url
    waiting = await seeded.ask(NAMING)
    await seeded.bench.jobs.cancel(waiting.id)
    async with module_process("tests.support.processes.export", url):
        running = await seeded.ask(ALL)
        await seeded.bench.wait_until(running, lambda it: it.progress.done > 0)
        await seeded.bench.jobs.cancel(running.id)
        ended = await seeded.bench.wait_for(running)
    assert ended.state == "cancelled"
    assert await execute(url, "SELECT count(*) FROM exports WHERE request IS NOT NULL") == [(0,)]
    assert await execute(url, "SELECT count(*) FROM export_pieces") == [(0,)]
    assert await seeded.exports.oldest_naming() is None


async def test_a_request_whose_job_was_never_recorded_is_forgotten(world: ExportWorld) -> None:
    url = world.views.url
    job = await world.ask(NAMING)
    assert await world.exports.oldest_naming() is not None
    await execute(url, "UPDATE exports SET asked_at = now() - interval '2 minutes'")
    assert await world.exports.oldest_naming() is not None
    await execute(url, "UPDATE exports SET id = gen_random_uuid() WHERE id = %s", job.id)
    assert await world.exports.oldest_naming() is None


async def test_files_are_kept_for_a_day_and_go_with_their_job(world: ExportWorld) -> None:
    url = world.views.url
    await register(world)
    old, recent, dropped = [await world.done(ALL) for _ in range(3)]
    await execute(
        url, "UPDATE jobs SET finished_at = now() - interval '25 hours' WHERE id = %s", old.id
    )
    removed = [
        rows
        async for name, rows in PostgresHousekeeping(world.views.events.database).purge()
        if name == "exports"
    ]
    assert removed == [1, 0]
    await execute(url, "DELETE FROM jobs WHERE id = %s", dropped.id)
    for gone in (old, dropped):
        with pytest.raises(ExportGone):
            await world.file(gone)
    assert len(await world.file(recent)) == 1
    assert await execute(url, "SELECT count(*) FROM export_pieces") == [(1,)]


async def test_exports_leave_room_for_other_jobs(seeded: ExportWorld) -> None:
    """A worker runs one export at a time."""
    async with module_process("tests.support.processes.export", seeded.views.url):
        jobs = [await seeded.ask(ALL) for _ in range(2)]
        first = await seeded.bench.wait_until(jobs[0], lambda it: it.progress.done > 0)
        second = await seeded.bench.jobs.job(jobs[1].id)
    assert first.state == "running"
    assert second is not None
    assert second.state == "queued"


async def test_requests_with_one_id_at_once_are_one_export(world: ExportWorld) -> None:
    export = uuid7()
    jobs = await asyncio.gather(*(world.ask(ALL, export) for _ in range(8)))
    assert len({job.id for job in jobs}) == 1
    assert len((await world.bench.jobs.jobs(JobQuery())).items) == 1


async def test_long_and_short_histories_are_folded_to_the_version_that_was_exported(
    world: ExportWorld,
) -> None:
    short, long = await register(world, "Short"), await register(world, "Long")
    for n in range(70):
        await rename(world, long, f"Long {n}")
    await world.views.caught_up()
    job = await world.done(ALL)
    before = await users_in(world, job)
    assert [(user.name, user.version) for user in before] == [("Short", 1), ("Long 69", 71)]
    for user in (short, long):
        await rename(world, user, "Another")
        await world.commands.execute(user, DeleteUser(), context())
    await world.views.caught_up()
    assert await users_in(world, job) == before
    await world.commands.execute(long, EraseUser(), context())
    assert await users_in(world, job) == before[:1]
    await world.commands.execute(short, EraseUser(), context())
    assert await users_in(world, job) == []
