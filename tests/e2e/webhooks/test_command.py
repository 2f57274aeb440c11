"""`rollbook webhooks` creates a webhook, and the receiver of the docs gets the events of users."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.documents import listing
from tests.support.http.directory import ADA
from tests.support.servers.prepared_data import prepared
from tests.support.servers.rollbook import (
    RunningRollbook,
    end_with_parent,
    run_rollbook,
    until,
)


@pytest.fixture
def rollbook(tmp_path: Path) -> Iterator[RunningRollbook]:
    unsafe = {"ROLLBOOK_ALLOW_UNSAFE_TARGETS": "true"}
    with RunningRollbook(prepared(tmp_path / "data"), **unsafe) as rollbook:
        yield rollbook


def webhooks(rollbook: RunningRollbook, *arguments: str) -> list[dict[str, Any]]:
    """What the command prints."""
    done = run_rollbook("webhooks", *arguments, "--json", "--data-dir", str(rollbook.data_dir))
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def register(rollbook: RunningRollbook, email: str) -> str:
    request = urllib.request.Request(
        f"{rollbook.url}/v1/users",
        data=json.dumps({**ADA, "email": email}).encode(),
        headers={
            "Authorization": f"Bearer {rollbook.token}",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["id"]


def test_the_command_manages_a_webhook_and_the_receiver_gets_its_events(
    rollbook: RunningRollbook, tmp_path: Path, unused_tcp_port: int
) -> None:
    first = register(rollbook, "first@example.org")
    [webhook] = webhooks(
        rollbook,
        *("create", f"http://127.0.0.1:{unused_tcp_port}/in", "--types", "user.registered"),
        *("--description", "Payroll", "--open-personal-data"),
    )
    received = tmp_path / "received"
    with received.open("wb") as output:
        receiver = subprocess.Popen(
            [sys.executable, "-c", listing("webhooks.md", "python")],
            env={
                **os.environ,
                "WEBHOOK_SECRET": webhook["secret"],
                "PORT": str(unused_tcp_port),
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.DEVNULL,
            preexec_fn=end_with_parent,
        )
    try:
        second = register(rollbook, "second@example.org")
        until(lambda: second in received.read_text(), 30)
        assert first not in received.read_text(), "it was registered before the webhook"
        assert "second@example.org" in received.read_text()

        [paused] = webhooks(rollbook, "pause", webhook["id"], "--reason", "they move house")
        assert (paused["status"], paused["reason"]) == ("paused", "they move house")
        # The worker looks once a second which webhooks are active.
        time.sleep(1.5)
        third = register(rollbook, "third@example.org")
        [listed] = webhooks(rollbook, "list")
        assert (listed["id"], listed["status"]) == (webhook["id"], "paused")
        assert third not in received.read_text()
        [resumed] = webhooks(rollbook, "resume", webhook["id"])
        assert resumed["status"] == "active"
        until(lambda: third in received.read_text(), 30)

        webhooks(rollbook, "replay", webhook["id"], "--after", "0", "--until", "1")
        until(lambda: first in received.read_text(), 30)
    finally:
        receiver.kill()
        receiver.wait()
    assert received.read_text().count(third) == 1
    assert webhook["secret"] not in rollbook.output
    refused = run_rollbook(
        *("webhooks", "replay", webhook["id"], "--after", "999999"),
        *("--data-dir", str(rollbook.data_dir)),
    )
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "after: Is above the head of the log" in refused.stderr
