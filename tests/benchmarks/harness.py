"""Shared by the benchmarks: a temporary database, alternating rounds with a twin, and the report.

A number of events per second means little on a shared machine. So each benchmark alternates with a
twin, the simplest program that does the same work, and reports the ratio.
"""

import argparse
import asyncio
import os
import statistics
import sys
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

import uvloop
from msgspec import Struct

from infrastructure.migrations import migrate
from tests.support.servers.postgres import database, postgres_server

R = TypeVar("R")

Measured = Callable[[float], Awaitable[float]]
"""Works for that many seconds, and returns the amount of work per second."""

_ROUNDS: Final = 5
_SECONDS: Final = 1.0


class Options(Struct, frozen=True):
    """The seconds of each side of a round, the number of rounds, and whether a miss is an error.

    `rows` is the number of rows in the tables before the first round, if the benchmark uses it.
    """

    seconds: float
    rounds: int
    check: bool
    rows: int = 0


class Comparison(Struct, frozen=True):
    """The figures of both sides, round by round.

    The ratio must be `target` or more; with `lower_is_better`, `target` or less.
    """

    subject: str
    twin: Sequence[float]
    ours: Sequence[float]
    target: float
    unit: str = "/s"
    lower_is_better: bool = False

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios, because a disturbance slows both sides of a round."""
        return statistics.median(
            ours / twin for twin, ours in zip(self.twin, self.ours, strict=True)
        )

    @property
    def is_met(self) -> bool:
        return self.ratio <= self.target if self.lower_is_better else self.ratio >= self.target

    def __str__(self) -> str:
        ours, twin = statistics.median(self.ours), statistics.median(self.twin)
        bound = "most" if self.lower_is_better else "least"
        target = f"target: at {bound} {self.target:g}x; " if self.target else ""
        return (
            f"{self.subject}: {self.ratio:.2f}x its twin"
            f" ({target}{ours:,.0f}{self.unit} against {twin:,.0f}{self.unit})"
        )


def options(about: str | None, rows: int | None = None) -> Options:
    """Parses the command line; `--rows` exists only if `rows` gives its default."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="for each side of a round")
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    if rows is not None:
        parser.add_argument(
            "--rows", type=int, default=rows, help="rows in each table before the first round"
        )
    return Options(**vars(parser.parse_args()))


@contextmanager
def migrated_database() -> Generator[str]:
    """The URL of a new migrated database, which is dropped at the end."""
    with postgres_server() as server, database(server) as url:
        asyncio.run(migrate(url))
        yield url


async def compare(
    subject: str, twin: Measured, ours: Measured, given: Options, *, target: float
) -> Comparison:
    """Runs both sides alternately, after one short round that does not count."""
    of_twin, of_ours = await in_turn([twin, ours], given)
    return Comparison(subject, of_twin, of_ours, target)


async def in_turn(
    sides: Sequence[Callable[[float], Awaitable[R]]], given: Options
) -> list[list[R]]:
    """The results of each side, round by round, after one short round that does not count."""
    for side in sides:
        await side(given.seconds / 4)
    rounds = [[await side(given.seconds) for side in sides] for _ in range(given.rounds)]
    return [[one[number] for one in rounds] for number in range(len(sides))]


def report(comparisons: Sequence[Comparison], given: Options) -> None:
    """Prints the results; with `--check`, exits with code 1 if a target was missed."""
    load = " ".join(f"{average:.1f}" for average in os.getloadavg())
    sys.stdout.write(f"load average over 1, 5 and 15 minutes: {load}\n")
    for comparison in comparisons:
        sys.stdout.write(f"{comparison}\n")
    if given.check and not all(found.is_met for found in comparisons):
        sys.exit(1)


def run(
    benchmark: Callable[[str, Options], Awaitable[Sequence[Comparison]]],
    about: str,
    *,
    rows: int | None = None,
) -> None:
    """Runs a benchmark: parses options, makes a database, uses the event loop of production."""
    given = options(about, rows)
    with migrated_database() as url:
        report(uvloop.run(_awaited(benchmark(url, given))), given)


async def _awaited(comparisons: Awaitable[Sequence[Comparison]]) -> Sequence[Comparison]:
    return await comparisons
