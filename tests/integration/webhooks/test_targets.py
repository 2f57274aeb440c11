"""Nothing is sent to a hostile target: neither accepted at first nor dialled later."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from application.webhooks.delivery_ports import SignedBody, TargetRefused
from infrastructure.webhooks.resolver import SystemResolver
from infrastructure.webhooks.sender import HttpSender
from tests.support.webhooks.certificates import server_and_client
from tests.support.webhooks.hostile_targets import HOSTILE, resolve
from tests.support.webhooks.receiver import Receiver

CONTENT = SignedBody(
    message_id="id", body=b"{}", secrets=["whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"]
)


@pytest.mark.parametrize("url", HOSTILE)
async def test_a_hostile_target_is_refused_at_creation_and_at_delivery(url: str) -> None:
    sender = HttpSender(resolve=resolve)
    with pytest.raises(TargetRefused) as refused:
        await sender.check(url)
    assert refused.value.code == HOSTILE[url]
    async with sender.open(url) as endpoint:
        assert (await endpoint.send(CONTENT)).error == HOSTILE[url]


def test_the_table_is_long() -> None:
    assert len(HOSTILE) >= 40


async def test_a_name_that_changes_its_address_after_the_check_is_not_dialled() -> None:
    addresses = iter(["93.184.215.14", "127.0.0.1"])

    async def rebinding(name: str) -> Sequence[str]:
        return [next(addresses)]

    async with Receiver.open() as receiver:
        sender = HttpSender(resolve=rebinding)
        url = f"https://hooks.example.org:{receiver.port}/"
        await sender.check(url)
        async with sender.open(url) as endpoint:
            assert (await endpoint.send(CONTENT)).error == "address-not-public"
        assert receiver.connections == 0


async def test_the_checked_address_is_dialled_and_the_name_is_sent() -> None:
    asked: list[str] = []

    async def once(name: str) -> Sequence[str]:
        asked.append(name)
        assert len(asked) == 1, "a second look-up could have another result"
        return ["127.0.0.1"]

    async with Receiver.open() as receiver:
        sender = HttpSender(resolve=once, allow_unsafe=True)
        async with sender.open(f"http://hooks.example.org:{receiver.port}/") as endpoint:
            assert (await endpoint.send(CONTENT)).status == 204
        assert receiver.received[0].headers["host"] == f"hooks.example.org:{receiver.port}"


async def test_the_certificate_must_be_that_of_the_name(tmp_path: Path) -> None:
    server, client = server_and_client(tmp_path, "hooks.example.org")

    async def local(name: str) -> Sequence[str]:
        return ["127.0.0.1"]

    async with Receiver.open(tls=server) as receiver:
        sender = HttpSender(resolve=local, allow_unsafe=True, ssl_context=client)
        async with sender.open(f"https://hooks.example.org:{receiver.port}/") as endpoint:
            assert (await endpoint.send(CONTENT)).status == 204
        async with sender.open(f"https://other.example.org:{receiver.port}/") as endpoint:
            assert (await endpoint.send(CONTENT)).error == "tls-failed"
        distrusting = HttpSender(resolve=local, allow_unsafe=True)
        async with distrusting.open(f"https://hooks.example.org:{receiver.port}/") as endpoint:
            assert (await endpoint.send(CONTENT)).error == "tls-failed"
        assert len(receiver.received) == 1


async def test_the_next_address_is_dialled_if_one_refuses() -> None:
    async def two(name: str) -> Sequence[str]:
        return ["127.0.0.2", "127.0.0.1"]

    async with Receiver.open() as receiver:
        sender = HttpSender(resolve=two, allow_unsafe=True)
        async with sender.open(f"http://hooks.example.org:{receiver.port}/") as endpoint:
            assert (await endpoint.send(CONTENT)).status == 204


async def test_a_name_server_that_hangs_delays_no_other_target() -> None:
    def look_up(name: str) -> Sequence[str]:
        if name.startswith("slow"):
            time.sleep(1)
        return ["127.0.0.1"]

    async with Receiver.open() as receiver:
        sender = HttpSender(resolve=SystemResolver(look_up), allow_unsafe=True, seconds=0.6)

        async def sent(name: str) -> tuple[int | None, str | None]:
            async with sender.open(f"http://{name}.example.org:{receiver.port}/") as endpoint:
                answer = await endpoint.send(CONTENT)
                return answer.status, answer.error

        slow = [asyncio.create_task(sent(f"slow{number % 20}")) for number in range(60)]
        await asyncio.sleep(0.05)
        assert (
            await asyncio.gather(*(sent(f"quick{number}") for number in range(20)))
            == [(204, None)] * 20
        )
        # The threads of the event loop are free, too.
        assert await asyncio.wait_for(asyncio.to_thread(str, 1), 0.5) == "1"
        assert await asyncio.gather(*slow) == [(None, "timeout")] * 60
