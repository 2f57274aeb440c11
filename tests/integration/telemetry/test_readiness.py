"""Readiness names each server and each part of Rollbook, with its true state."""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

import pytest
from httpx2 import AsyncClient
from pydantic import SecretStr

from interfaces.roles import EVERY_ROLE, Roles
from tests.support.http.in_process import in_process
from tests.support.servers.mail import MailReceiver
from tests.support.servers.redis import PrivateRedis, private_redis

API_ALONE: Final[Roles] = frozenset({"api"})
# Nothing listens there.
NO_BROKER: Final = SecretStr("amqp://guest:secret@127.0.0.1:1/")


@pytest.fixture
def redis() -> Iterator[PrivateRedis]:
    with private_redis() as server:
        yield server


async def states(client: AsyncClient, status: int = 200) -> dict[str, str]:
    checks = await asked(client, status)
    return {name: check["state"] for name, check in checks.items()}


async def asked(client: AsyncClient, status: int = 200) -> dict[str, Any]:
    answer = await client.get("/health/ready")
    assert answer.status_code == status, answer.text
    assert "secret" not in answer.text
    return answer.json()["checks"]


async def reached(client: AsyncClient, wanted: dict[str, str]) -> None:
    """Returns once these names have these states."""
    async with asyncio.timeout(20):
        while not wanted.items() <= (await states(client)).items():
            await asyncio.sleep(0.1)


async def test_what_is_not_configured_is_off(database_url: str) -> None:
    async with in_process(database_url, EVERY_ROLE) as client:
        await reached(client, {"projector": "up", "worker": "up"})
        assert await states(client) == {
            "postgres": "up",
            "redis": "off",
            "rabbitmq": "off",
            "master-key": "up",
            "views": "up",
            "projector": "up",
            "relay": "off",
            "worker": "up",
            "mail": "off",
        }


async def test_parts_that_do_not_run_are_named_and_answers_go_on(
    database_url: str, redis: PrivateRedis, amqp_url: str
) -> None:
    settings = {"redis_url": SecretStr(redis.url), "amqp_url": SecretStr(amqp_url)}
    async with in_process(database_url, API_ALONE, **settings) as client:
        checks = await asked(client)
        assert {name for name, check in checks.items() if check["state"] == "up"} == {
            "postgres",
            "redis",
            "rabbitmq",
            "master-key",
            "views",
        }
        for part in ("projector", "worker", "relay"):
            assert checks[part]["state"] == "down"
            assert part in checks[part]["detail"], checks[part]
        assert (await client.get("/v1/users")).status_code == 200
        # Another process does the work.
        async with in_process(database_url, EVERY_ROLE, **settings):
            await reached(client, {"projector": "up", "relay": "up", "worker": "up"})


async def test_a_mail_server_that_takes_no_mail_is_named_with_its_reply(database_url: str) -> None:
    with MailReceiver().running() as receiver:
        receiver.replies["MAIL"] = ["550 5.7.1 words of the server"]
        settings = {"smtp_url": SecretStr(receiver.url), "smtp_from": "no-reply@example.org"}
        async with in_process(database_url, API_ALONE, **settings) as client:
            checks = await asked(client)
            detail = "The mail server refuses the sender (550 5.7.1)."
            assert (checks["mail"]["state"], checks["mail"]["detail"]) == ("down", detail)
            assert (await client.get("/v1/users")).status_code == 200


async def test_servers_that_are_away_are_named_and_answers_go_on(
    database_url: str, redis: PrivateRedis
) -> None:
    settings = {"redis_url": SecretStr(redis.url), "amqp_url": NO_BROKER}
    async with in_process(database_url, EVERY_ROLE, **settings) as client:
        await reached(client, {"redis": "up", "rabbitmq": "down", "relay": "down"})
        redis.stop()
        await reached(client, {"redis": "down", "postgres": "up"})
        assert (await client.get("/v1/users")).status_code == 200
