"""The doorbell across processes: two doorbells on one database stand for two processes."""

import asyncio

import psycopg

from infrastructure.doorbell.postgres import PostgresDoorbell
from tests.support.servers.postgres import name_of
from tests.support.views.directory import execute


async def test_a_ring_is_heard_in_other_processes(empty_database_url: str) -> None:
    async with (
        PostgresDoorbell.open(empty_database_url) as here,
        PostgresDoorbell.open(empty_database_url) as there,
        there.listen("view:users") as bell,
    ):
        here.ring("view:users")
        assert await bell.wait(2)


async def test_what_the_append_function_notifies_is_heard(empty_database_url: str) -> None:
    async with (
        PostgresDoorbell.open(empty_database_url) as doorbell,
        doorbell.listen("log") as bell,
    ):
        await execute(empty_database_url, "SELECT pg_notify('rollbook', 'log')")
        assert await bell.wait(2)


async def test_a_process_that_hears_of_events_elsewhere_hears_all_other_bells(
    empty_database_url: str,
) -> None:
    async with (
        PostgresDoorbell.open(empty_database_url, events=False) as doorbell,
        doorbell.listen("log") as log,
        doorbell.listen("jobs") as jobs,
    ):
        await execute(empty_database_url, "SELECT pg_notify('rollbook', 'log')")
        await execute(empty_database_url, "SELECT pg_notify('rollbook_bells', 'jobs')")
        assert await jobs.wait(2)
        assert not await log.wait(0.1)


async def test_many_rings_are_few_notifications_and_do_not_return_to_the_sender(
    empty_database_url: str,
) -> None:
    async with (
        PostgresDoorbell.open(empty_database_url) as here,
        await psycopg.AsyncConnection.connect(empty_database_url, autocommit=True) as witness,
        here.listen("log") as bell,
    ):
        await witness.execute("LISTEN rollbook_bells")
        for _ in range(1000):
            here.ring("log")
        assert await bell.wait(0)
        heard = [notify.payload async for notify in witness.notifies(timeout=0.5)]
        assert 1 <= len(heard) <= 2
        assert not await bell.wait(0.1)


async def test_a_lost_connection_is_replaced_and_then_all_bells_ring(
    empty_database_url: str,
) -> None:
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND application_name = 'rollbook doorbell'"
    async with (
        PostgresDoorbell.open(empty_database_url) as here,
        PostgresDoorbell.open(empty_database_url) as there,
        there.listen("log") as bell,
    ):
        here.ring("other")
        await asyncio.sleep(0.1)
        await execute(empty_database_url, end, name_of(empty_database_url))
        assert await bell.wait(5)
        await asyncio.sleep(0.3)
        here.ring("log")
        assert await bell.wait(2)


async def test_without_a_server_at_the_start_only_its_own_process_hears_a_ring() -> None:
    async with (
        PostgresDoorbell.open("postgresql://127.0.0.1:1/none") as doorbell,
        doorbell.listen("log") as bell,
    ):
        doorbell.ring("log")
        assert await bell.wait(0)
        await asyncio.sleep(0.3)
