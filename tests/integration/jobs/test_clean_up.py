"""The daily clean-up removes dead rows from every table with personal data, in use or not."""

from collections.abc import AsyncGenerator

import pytest
from uuid_utils.compat import uuid7

from application.jobs.maintenance import clean_up_jobs
from infrastructure.database import Database
from infrastructure.housekeeping.postgres import PostgresHousekeeping
from infrastructure.views.projector.ensure import ensure_views
from projections.registry import PROJECTIONS
from tests.support.doubles.jobs import InMemoryJobs
from tests.support.views.directory import execute

TABLES = ["claims", "exports", "headcount_g1", "snapshots", "subject_keys", "users_g1", "users_g12"]
_OLD_BUILDS = """
CREATE TABLE users_g12 (name text);
CREATE TABLE users_g13_counters (name text);
CREATE TABLE strangers_g1 (name text)"""
_CLEANED = """
SELECT relname::text, vacuum_count, analyze_count FROM pg_stat_user_tables
WHERE vacuum_count > 0 ORDER BY 1"""


@pytest.fixture
async def database(database_url: str) -> AsyncGenerator[Database]:
    async with Database.open(database_url) as database:
        yield database


async def test_keys_claims_snapshots_and_every_build_of_a_view_are_cleaned(
    database: Database,
    database_url: str,
) -> None:
    await ensure_views(database_url, PROJECTIONS)
    await execute(database_url, _OLD_BUILDS)
    jobs = InMemoryJobs(uuid7, clean_up_jobs(PostgresHousekeeping(database)))
    job = await jobs.submit("clean-up", {}, actor="system:jobs")
    await jobs.run_queued()
    done = await jobs.job(job.id)
    assert done is not None
    assert done.result == {"tables": sorted([*TABLES, "pg_statistic"])}
    assert done.progress.total == len(TABLES) + 1
    assert await execute(database_url, _CLEANED) == [(table, 1, 1) for table in TABLES]


async def test_a_dead_row_takes_no_space_after_a_clean_up(
    database: Database, database_url: str
) -> None:
    key = "INSERT INTO subject_keys VALUES ('main', gen_random_uuid(), 'aaaaaaaa', '\\x00')"
    await execute(database_url, key)
    await execute(database_url, "DELETE FROM subject_keys")
    assert (await execute(database_url, "SELECT pg_relation_size('subject_keys')"))[0][0] > 0
    await PostgresHousekeeping(database).vacuum("subject_keys")
    assert await execute(database_url, "SELECT pg_relation_size('subject_keys')") == [(0,)]


async def test_a_table_that_was_dropped_meanwhile_is_skipped(database: Database) -> None:
    await PostgresHousekeeping(database).vacuum("users_g99")


async def test_it_runs_once_a_day(database: Database) -> None:
    minute, hour, *days = (clean_up_jobs(PostgresHousekeeping(database)).schedule or "").split()
    assert (minute.isdigit(), hour.isdigit(), days) == (True, True, ["*"] * 3)
