"""The receivers of docs/webhooks.md take what Rollbook's sender sends, once, and nothing else."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import msgspec
import pytest
from msgspec import Struct

from application.webhooks.delivery_ports import SignedBody
from infrastructure.webhooks.sender import HttpSender
from tests.support.clients.node import node, npm_packages
from tests.support.documents import listing
from tests.support.servers.rollbook import ROOT, end_with_parent

SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwFlRMQV2sYXQ="
OTHER: Final = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDazY2hV9s7Gk="
PACKAGES: Final = ROOT / "tests" / "support" / "clients" / "webhooks"
SECONDS: Final = 20


class Receiver(Struct, frozen=True):
    url: str
    output: Path

    @property
    def lines(self) -> list[str]:
        return self.output.read_text().splitlines()


def python_program(folder: Path) -> list[str]:
    (folder / "receiver.py").write_text(listing("webhooks.md", "python"))
    return [sys.executable, str(folder / "receiver.py")]


def javascript_program(folder: Path) -> list[str]:
    (folder / "node_modules").symlink_to(npm_packages(PACKAGES))
    (folder / "receiver.mjs").write_text(listing("webhooks.md", "js"))
    return [node(), str(folder / "receiver.mjs")]


@pytest.fixture(params=[python_program, javascript_program], ids=["python", "javascript"])
def program(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    write: Callable[[Path], list[str]] = request.param
    return write(tmp_path)


@asynccontextmanager
async def running(
    program: list[str], folder: Path, port: int, secret: str
) -> AsyncGenerator[Receiver]:
    """The receiver, once it listens."""
    receiver = Receiver(f"http://127.0.0.1:{port}/in", folder / "received")
    with receiver.output.open("wb") as output:
        process = subprocess.Popen(
            program,
            env={**os.environ, "WEBHOOK_SECRET": secret, "PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.DEVNULL,
            preexec_fn=end_with_parent,
        )
    try:
        async with asyncio.timeout(SECONDS):
            while not await listens(port):
                assert process.poll() is None, "the receiver ended"
                await asyncio.sleep(0.05)
        yield receiver
    finally:
        process.kill()
        process.wait()


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def signed(*secrets: str, **fields: Any) -> SignedBody:
    message_id = str(uuid4())
    event = {"id": message_id, "position": "7", "type": "user.deleted", "subject": "u-1"}
    body = msgspec.json.encode({**event, "data": {}, **fields})
    return SignedBody(message_id=message_id, body=body, secrets=secrets)


async def test_a_receiver_takes_each_event_once_if_a_secret_of_its_own_signs_it(
    program: list[str], tmp_path: Path, unused_tcp_port: int
) -> None:
    async with (
        running(program, tmp_path, unused_tcp_port, SECRET) as receiver,
        HttpSender(allow_unsafe=True).open(receiver.url) as endpoint,
    ):
        first = signed(SECRET, data={"name": "Zoë"})
        for content in (first, first, signed(OTHER, SECRET, position="8")):
            assert (await endpoint.send(content)).status == 204
        assert (await endpoint.send(signed(OTHER, position="9"))).status == 401
        assert [line.split()[0] for line in receiver.lines] == ["7", "8"]
        assert "Zoë" in receiver.lines[0]


def test_the_receivers_have_about_twenty_lines() -> None:
    for language in ("python", "js"):
        lines = [line for line in listing("webhooks.md", language).splitlines() if line.strip()]
        assert len(lines) <= 25, language
