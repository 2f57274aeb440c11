"""The program of docs/eventsourcing.md runs on the log of a running Rollbook."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, create_subprocess_exec
from typing import Any, Final
from uuid import UUID

from httpx2 import AsyncClient

from tests.support.documents import listing
from tests.support.http.in_process import in_process
from tests.support.servers.postgres import MASTER_KEYS
from tests.support.servers.rollbook import ROOT
from tests.support.views.directory import execute

COUNTED: Final = "SELECT kind, n FROM counts ORDER BY 1"
RECORDED: Final = """
SELECT CASE kind WHEN 'library' THEN 'badge' ELSE kind END, count(*)::int FROM stored_events
WHERE notification_id <= (
    SELECT notification_id FROM counting_tracking WHERE application_name = 'Badges')
GROUP BY kind ORDER BY 1"""


async def register(client: AsyncClient, name: str, number: int) -> str:
    body = {"name": name, "email": f"n{number}@example.org"}
    answer = await client.post("/v1/users", json=body)
    return answer.raise_for_status().json()["id"]


async def run(url: str, user_id: str, **settings: str) -> tuple[int | None, str, str]:
    process = await create_subprocess_exec(
        *(sys.executable, "-P", "-c", listing("eventsourcing.md", "python"), user_id),
        stdout=PIPE,
        stderr=PIPE,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PERSISTENCE_MODULE": "interfaces.composition.persistence",
            "ROLLBOOK_DATABASE_URL": url,
            "ROLLBOOK_MASTER_KEY": MASTER_KEYS,
            **settings,
        },
    )
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


async def test_an_application_loads_rollbooks_users_and_counts_all_while_others_write(
    database_url: str,
) -> None:
    async with in_process(database_url) as client:
        user_id = await register(client, "Åsa Öberg", 0)
        await client.patch(f"/v1/users/{user_id}", json={"name": "Åsa Berg"})
        written = asyncio.Event()

        async def keep_registering(first: int) -> None:
            for number in range(first, first + 10_000):
                if written.is_set():
                    return
                await register(client, "Zoë", number)
                await asyncio.sleep(0.02)

        async with asyncio.TaskGroup() as group:
            for first in range(1, 5):
                group.create_task(keep_registering(first * 10_000))
            ended = await run(database_url, user_id)
            written.set()
        assert ended == (0, "Åsa Berg\n", "")
        counted: list[Any] = await execute(database_url, COUNTED)
        assert counted == await execute(database_url, RECORDED)
        assert [kind for kind, _ in counted] == ["badge", "user"]
        assert "parked" not in (await client.get("/health/ready")).json()
        listed = (await client.get("/v1/users?q=Berg")).raise_for_status().json()
        assert [user["id"] for user in listed["items"]] == [user_id]


async def test_an_application_without_the_database_s_address_says_which_setting_is_missing(
    database_url: str,
) -> None:
    code, _, errors = await run(database_url, str(UUID(int=1)), ROLLBOOK_DATABASE_URL="")
    assert code == 1
    assert "ROLLBOOK_DATABASE_URL is not set" in errors
