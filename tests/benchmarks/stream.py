"""The time from the answer to a command until a subscriber has its event.

    python -m tests.benchmarks.stream [--rate 50] [--seconds 10] [--rounds N] [--check]

All roles run in one process. The twin inserts a row and pushes it to the clients of its own
process; it has no log, and cannot serve clients of another process.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from asyncio import to_thread
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Final
from uuid import uuid4

import httpx2
import uvloop
from msgspec import Struct

from tests.support.http.streaming import streaming
from tests.support.servers.postgres import database, postgres_server
from tests.support.servers.rollbook import RunningRollbook, end_with_parent, rollbook_environment

MAX_MILLISECONDS: Final = 15.0
_END_SECONDS: Final = 30


class Side(Struct, frozen=True):
    url: str
    token: str


class Times(Struct):
    """When each command was sent and answered, and when its event arrived; by request id."""

    sent: dict[str, float]
    answered: dict[str, float]
    seen: dict[str, float]

    def after_answer(self) -> list[float]:
        return [1000 * (self.seen[key] - self.answered[key]) for key in self.seen]

    def after_request(self) -> list[float]:
        return [1000 * (self.seen[key] - self.sent[key]) for key in self.seen]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rate", type=float, default=50.0, help="commands per second")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--check", action="store_true", help="exit with 1 if the target is missed")
    options = parser.parse_args()
    ours: list[float] = []
    ratios: list[float] = []
    with postgres_server() as server, tempfile.TemporaryDirectory() as directory:
        with _rollbook(server, Path(directory)) as rollbook, _twin(server) as twin:
            for _ in range(options.rounds):
                times = _measure(twin, options.rate, options.seconds)
                plain = statistics.median(times.after_request())
                times = _measure(rollbook, options.rate, options.seconds)
                after = times.after_answer()
                ours.append(statistics.median(after))
                ratios.append(statistics.median(times.after_request()) / plain)
                sys.stdout.write(
                    f"answer to frame: p50 {ours[-1]:.1f} ms, "
                    f"p95 {statistics.quantiles(after, n=20)[-1]:.1f} ms; request to frame: "
                    f"p50 {ratios[-1]:.2f} times the twin's {plain:.1f} ms\n"
                )
    median = statistics.median(ours)
    sys.stdout.write(
        f"answer to frame {median:.1f} ms at {options.rate:g} commands/s, "
        f"request to frame {statistics.median(ratios):.2f}x; target: at most "
        f"{MAX_MILLISECONDS:g} ms: {'met' if median <= MAX_MILLISECONDS else 'MISSED'}\n"
    )
    return int(options.check and median > MAX_MILLISECONDS)


@contextmanager
def _rollbook(server: str, directory: Path) -> Generator[Side]:
    with database(server) as url:
        with RunningRollbook(directory / "data", ROLLBOOK_DATABASE_URL=url) as rollbook:
            yield Side(rollbook.url, rollbook.token)


@contextmanager
def _twin(server: str) -> Generator[Side]:
    with database(server) as url:
        command = [sys.executable, "-P", "-m", "tests.benchmarks.stream_twin", url]
        process = subprocess.Popen(
            command,
            env=rollbook_environment(),
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=end_with_parent,
        )
        assert process.stdout is not None
        try:
            yield Side(f"http://127.0.0.1:{process.stdout.readline().strip()}", "any")
        finally:
            process.terminate()
            process.wait(timeout=_END_SECONDS)


def _measure(side: Side, rate: float, seconds: float) -> Times:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(side, round(rate * seconds), 1 / rate))


async def _run(side: Side, count: int, pause: float) -> Times:
    times = Times({}, {}, {})
    headers = {"Authorization": f"Bearer {side.token}"}
    await to_thread(_until_answering, side.url)
    async with (
        httpx2.AsyncClient(base_url=side.url, headers=headers, trust_env=False) as client,
        streaming(side.url, token=side.token) as stream,
    ):
        await stream.recv()

        async def watch() -> None:
            while len(times.seen) < count:
                message = await stream.recv()
                now = perf_counter()
                for event in json.loads(message).get("events", []):
                    times.seen[event["correlationid"]] = now

        watching = asyncio.create_task(watch())
        async with asyncio.TaskGroup() as commands:
            for _ in range(count):
                commands.create_task(_register(client, times))
                await asyncio.sleep(pause)
        async with asyncio.timeout(10):
            await watching
    return times


async def _register(client: httpx2.AsyncClient, times: Times) -> None:
    key = uuid4().hex
    times.sent[key] = perf_counter()
    answer = await client.post(
        "/v1/users",
        json={"name": "Åsa Öberg", "email": f"{key}@example.com"},
        headers={"X-Request-ID": key},
    )
    times.answered[key] = perf_counter()
    assert answer.status_code == 201, answer.text


def _until_answering(url: str) -> None:
    with httpx2.Client(
        transport=httpx2.HTTPTransport(retries=20), trust_env=False, base_url=url
    ) as client:
        client.get("/health/live")


if __name__ == "__main__":
    sys.exit(main())
