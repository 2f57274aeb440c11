"""From a command's answer until its user is in the view, with projectors that RabbitMQ alone wakes.

API, relay, projector and worker are processes of their own; projector and worker do not LISTEN for
events, and their followers poll once a minute. The baseline of the same run has no RabbitMQ: LISTEN
wakes the projector, polls are as rare. Then one projection is paused, and a webhook's endpoint is down.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from time import perf_counter
from typing import Final

import uvloop
from uuid_utils.compat import uuid7

from tests.benchmarks import harness
from tests.benchmarks.http_load import UnexpectedAnswer, request
from tests.benchmarks.open_loop import Client
from tests.benchmarks.processes import TOKEN, free_port, rollbook
from tests.support.servers.rabbit import rabbit_node

P50_SECONDS: Final = 0.05
RATE: Final = 20
_ROLES: Final = ("api", "relay", "projector", "worker")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=int, default=RATE, help="commands per second")
    parser.add_argument("--check", action="store_true", help="exit with 1 if the target is missed")
    given = parser.parse_args()
    with ExitStack() as stack:
        urls = [stack.enter_context(harness.migrated_database()) for _ in range(2)]
        amqp_url = os.environ.get("ROLLBOOK_TEST_AMQP_URL")
        amqp_url = amqp_url or stack.enter_context(rabbit_node()).url
        met = uvloop.run(_measured(urls, amqp_url, given))
    if given.check and not met:
        sys.exit(1)


async def _measured(urls: list[str], amqp_url: str, given: argparse.Namespace) -> bool:
    async with AsyncExitStack() as stack:
        listen = await stack.enter_async_context(_roles(urls[0], None))
        rabbitmq = await stack.enter_async_context(_roles(urls[1], amqp_url))
        met = await _compare("RabbitMQ", listen, rabbitmq, given)
        await rabbitmq.ask(_pause("headcount"), status=200)
        met &= await _compare("one projection paused", listen, rabbitmq, given)
        await rabbitmq.ask(_webhook(), status=201)
        return await _compare("and a webhook's endpoint down", listen, rabbitmq, given) and met


@asynccontextmanager
async def _roles(url: str, amqp_url: str | None) -> AsyncGenerator[Client]:
    roles = [role for role in _ROLES if amqp_url is not None or role != "relay"]
    async with rollbook(url, roles, amqp_url=amqp_url, slow_poll=True) as running:
        client = Client(running.port)
        async with asyncio.timeout(60):
            while True:
                with suppress(UnexpectedAnswer):
                    await _until_seen(client)
                    break
        yield client


async def _compare(
    subject: str, listen: Client, rabbitmq: Client, given: argparse.Namespace
) -> bool:
    """Alternates between both; prints the medians of all commands, and the rounds' median ratio."""
    rounds = [
        (
            await _at_rate(listen, given.rate, given.seconds),
            await _at_rate(rabbitmq, given.rate, given.seconds),
        )
        for _ in range(given.rounds)
    ]
    p50 = statistics.median(second for _, taken in rounds for second in taken)
    baseline = statistics.median(second for taken, _ in rounds for second in taken)
    ratio = statistics.median(statistics.median(b) / statistics.median(a) for a, b in rounds)
    worst = max(second for _, taken in rounds for second in taken)
    sys.stdout.write(
        f"{subject}: p50 {1000 * p50:.1f} ms (target: at most {1000 * P50_SECONDS:.0f}), longest"
        f" {1000 * worst:.0f} ms; by LISTEN p50 {1000 * baseline:.1f} ms; {ratio:.2f}x\n"
    )
    return p50 <= P50_SECONDS


async def _at_rate(client: Client, rate: int, seconds: float) -> list[float]:
    began = perf_counter()

    async def one(number: int) -> float:
        await asyncio.sleep(began + number / rate - perf_counter())
        return await _until_seen(client)

    return await asyncio.gather(*(one(number) for number in range(round(rate * seconds))))


async def _until_seen(client: Client) -> float:
    """Registers a user; the seconds from the answer until a list can show the user."""
    user = str(uuid7())
    body = json.dumps({"id": user, "name": "Someone", "email": f"{user}@example.com"})
    command = request("POST", "/v1/users", TOKEN, body.encode())
    position = (await client.ask(command, status=201)).position
    answered = perf_counter()
    query = request("GET", f"/v1/users/{user}", TOKEN, Rollbook_Min_Position=str(position))
    reply = await client.ask(query)
    assert reply.position >= position
    return perf_counter() - answered


def _pause(projection: str) -> bytes:
    return request("POST", f"/v1/projections/{projection}/pause", TOKEN, b"{}")


def _webhook() -> bytes:
    """To a port that nothing listens on."""
    body = json.dumps({"url": f"http://127.0.0.1:{free_port()}/down"})
    return request("POST", "/v1/webhooks", TOKEN, body.encode())


if __name__ == "__main__":
    main()
