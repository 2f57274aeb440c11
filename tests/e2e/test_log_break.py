"""`rollbook log break` records a break by hand, and the doctor says if that is needed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_restores import LEAP, before_the_backup, client_of, gone, rename
from tests.support.servers.prepared_data import prepared
from tests.support.servers.redis import PrivateRedis, private_redis
from tests.support.servers.redis_admin import RedisAdmin
from tests.support.servers.rollbook import RunningRollbook, run_rollbook


@pytest.fixture
def redis() -> Iterator[PrivateRedis]:
    with private_redis() as server:
        yield server


async def test_a_break_is_recorded_by_hand_while_it_runs(tmp_path: Path) -> None:
    with RunningRollbook(prepared(tmp_path / "data")) as rollbook:
        async with client_of(rollbook) as client:
            history = await before_the_backup(client)
            recorded = run_rollbook("log", "break", "--json", "--data-dir", str(rollbook.data_dir))
            assert (recorded.returncode, recorded.stderr) == (0, "")
            assert recorded.stdout == (
                f'{{"epoch":2,"last_valid":{history.last_kept},"first_new":{LEAP}}}\n'
            )
            await gone(client, history.last_kept + 1)
            assert (await client.get(f"/v1/users/{history.user}")).json()["name"] == "Kept0"
            answer = await rename(client, history.user, "Renamed")
            assert int(answer.headers["Rollbook-Position"]) == LEAP
        again = run_rollbook(
            "log", "break", "--beyond", str(7 * LEAP), "--data-dir", str(rollbook.data_dir)
        )
        assert f"positions from {8 * LEAP} on" in again.stdout


def test_without_a_rollbook_no_break_is_recorded(tmp_path: Path) -> None:
    refused = run_rollbook("log", "break", "--data-dir", str(tmp_path))
    assert refused.returncode == 1
    assert refused.stderr.startswith("rollbook: no Rollbook with a database of its own runs on")


def test_a_log_that_does_not_exist_cannot_be_broken(
    database_url: str, empty_database_url: str
) -> None:
    no_log = run_rollbook("log", "break", ROLLBOOK_DATABASE_URL=database_url)
    assert (no_log.returncode, no_log.stdout) == (1, "")
    assert no_log.stderr == "rollbook: the database holds no log yet\n"
    empty = run_rollbook("log", "break", ROLLBOOK_DATABASE_URL=empty_database_url)
    assert (empty.returncode, empty.stdout) == (1, "")
    assert "run `rollbook migrate` first" in empty.stderr


async def test_the_doctor_says_where_no_mark_is_kept(
    database_url: str, master_keys: str, redis: PrivateRedis, tmp_path: Path
) -> None:
    settings = {
        "ROLLBOOK_DATABASE_URL": database_url,
        "ROLLBOOK_MASTER_KEY": master_keys,
        "ROLLBOOK_ADMIN_TOKEN": "a-token-of-thirty-two-characters",
    }

    def said(**more: str) -> str:
        checked = run_rollbook("doctor", **settings, **more)
        assert checked.returncode == 0, checked.stderr
        return checked.stdout

    assert "no high-water mark is kept: ROLLBOOK_REDIS_URL is not set" in said()
    with_redis = {"ROLLBOOK_REDIS_URL": redis.url}
    with RunningRollbook(tmp_path / "data", **settings, **with_redis):
        assert "high-water" not in said(**with_redis)
    with RedisAdmin(redis.url) as admin:
        admin.flush()
    assert "no high-water mark is kept: Redis has none yet" in said(**with_redis)
    redis.stop()
    assert "no high-water mark is kept: Redis does not answer" in said(**with_redis)
