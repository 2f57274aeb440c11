"""The connections to Postgres of each role, idle and under load."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import psycopg
import pytest

from infrastructure.embedded.postgres import EmbeddedPostgres
from tests.support.http.load import Load
from tests.support.servers.postgres import scaled
from tests.support.servers.prepared_data import prepared
from tests.support.servers.roles import address_in, role
from tests.support.servers.rollbook import RunningRollbook

TOKEN: Final = "a-token-of-thirty-two-characters"
EXPORT: Final = {"what": "users", "format": "csv"}
MAX_OF_A_ROLE: Final = 12
MAX_OF_ALL: Final = 25
READS: Final = ("/v1/users?q=a", "/v1/stats", "/v1/audit", "/v1/projections", "/v1/jobs")
_COUNT: Final = """
SELECT count(*) FROM pg_stat_activity
WHERE starts_with(application_name, %s) AND datname = current_database()"""

Count = Callable[[str], int]


@contextmanager
def counting(url: str) -> Generator[Count]:
    """Counts the sessions whose name begins with a word."""
    with psycopg.connect(url, autocommit=True) as connection:

        def count(name: str) -> int:
            row = connection.execute(_COUNT, [name]).fetchone()
            assert row is not None
            return row[0]

        yield count


@contextmanager
def named_role(name: str, **settings: str) -> Generator[Path]:
    """A process with this role, as its log; its sessions have the role's name."""
    url = settings["ROLLBOOK_DATABASE_URL"]
    url += f"{'&' if '?' in url else '?'}application_name={name}"
    with role(name, **{**settings, "ROLLBOOK_DATABASE_URL": url}) as log:
        yield log


async def peaks(url: str, token: str, count: Count, *names: str) -> dict[str, int]:
    """The most sessions during commands, reads of all kinds, a rebuild and four exports at once."""
    most = dict.fromkeys(names, 0)
    async with Load.on(url, token) as load:
        await load.start(16)
        jobs = [
            await load.client.post("/v1/projections/users/rebuild", json={}),
            *[await load.client.post("/v1/exports", json=EXPORT) for _ in range(4)],
        ]
        assert {answer.status_code for answer in jobs} == {202}, [job.text for job in jobs]
        for _ in range(scaled(2)):
            await asyncio.gather(*(load.client.get(path) for path in READS for _ in range(8)))
            for name in names:
                most[name] = max(most[name], count(name))
        await load.stop()
    return most


@pytest.mark.parametrize("redis", [True, pytest.param(False, marks=pytest.mark.long)])
def test_no_role_has_more_than_twelve_connections(
    request: pytest.FixtureRequest,
    database_url: str,
    master_keys: str,
    redis: bool,
) -> None:
    settings = {
        "ROLLBOOK_DATABASE_URL": database_url,
        "ROLLBOOK_MASTER_KEY": master_keys,
        "ROLLBOOK_ADMIN_TOKEN": TOKEN,
    }
    if redis:
        settings["ROLLBOOK_REDIS_URL"] = request.getfixturevalue("redis_url")
    roles = ("projector", "worker", "api")
    with ExitStack() as stack:
        logs = {name: stack.enter_context(named_role(name, **settings)) for name in roles}
        count = stack.enter_context(counting(database_url))
        most = asyncio.run(peaks(address_in(logs["api"]), TOKEN, count, *roles))
    assert all(3 <= sessions <= MAX_OF_A_ROLE for sessions in most.values()), most


@pytest.mark.long
def test_a_whole_rollbook_has_at_most_25_connections(tmp_path: Path) -> None:
    with RunningRollbook(prepared(tmp_path / "data")) as rollbook:
        with counting(EmbeddedPostgres(rollbook.data_dir / "postgres").url) as count:
            most = asyncio.run(peaks(rollbook.url, rollbook.token, count, "rollbook"))
    assert most["rollbook"] <= MAX_OF_ALL
