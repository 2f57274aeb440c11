"""What benchmarks share: a database to throw away, rounds in turn with a twin, and the verdict.

A number of events a second says little on a machine that others use. So each benchmark runs a
twin, the plainest thing that does the same work, in turn with ours, and reports the ratio.
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
"""Works for that many seconds, and returns how much it did in a second."""

_ROUNDS: Final = 5
_SECONDS: Final = 1.0


class Options(Struct, frozen=True):
    """How long each side of a round runs, how many rounds there are, and whether to insist.

    `rows`: how full the tables are before, where that is a part of the subject.
    """

    seconds: float
    rounds: int
    check: bool
    rows: int = 0


class Comparison(Struct, frozen=True):
    """What was measured of the two, round by round.

    The ratio is asked to be `target` at least; at most, where less of the `unit` is better.
    """

    subject: str
    twin: Sequence[float]
    ours: Sequence[float]
    target: float
    unit: str = "/s"
    at_most: bool = False

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios: what slows one round down slows both of its sides."""
        return statistics.median(
            ours / twin for twin, ours in zip(self.twin, self.ours, strict=True)
        )

    @property
    def is_met(self) -> bool:
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target

    def __str__(self) -> str:
        ours, twin = statistics.median(self.ours), statistics.median(self.twin)
        bound = "most" if self.at_most else "least"
        asked = f"at {bound} {self.target:g}x is asked; " if self.target else ""
        return (
            f"{self.subject}: {self.ratio:.2f}x its twin"
            f" ({asked}{ours:,.0f}{self.unit} against {twin:,.0f}{self.unit})"
        )


def options(about: str | None, rows: int | None = None) -> Options:
    """The options of a benchmark's command line; `--rows` is one where it has a default."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="for each side of a round")
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    parser.add_argument("--check", action="store_true", help="exit with 1 below a target")
    if rows is not None:
        parser.add_argument("--rows", type=int, default=rows, help="in the tables before")
    return Options(**vars(parser.parse_args()))


@contextmanager
def migrated_database() -> Generator[str]:
    """A new database as the migrations leave it, as its URL; dropped at the end."""
    with postgres_server() as server, database(server) as url:
        asyncio.run(migrate(url))
        yield url


async def compare(
    subject: str, twin: Measured, ours: Measured, given: Options, *, target: float
) -> Comparison:
    """Both in turn, after one short round that does not count."""
    of_twin, of_ours = await in_turn([twin, ours], given)
    return Comparison(subject, of_twin, of_ours, target)


async def in_turn(
    sides: Sequence[Callable[[float], Awaitable[R]]], given: Options
) -> list[list[R]]:
    """What each side returned, round by round, after one short round that does not count."""
    for side in sides:
        await side(given.seconds / 4)
    rounds = [[await side(given.seconds) for side in sides] for _ in range(given.rounds)]
    return [[one[number] for one in rounds] for number in range(len(sides))]


def report(comparisons: Sequence[Comparison], given: Options) -> None:
    """Print what was found; with `--check`, end with code 1 where a target was missed."""
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
    """A benchmark's whole run: its options, its database, the event loop of production."""
    given = options(about, rows)
    with migrated_database() as url:
        report(uvloop.run(_awaited(benchmark(url, given))), given)


async def _awaited(comparisons: Awaitable[Sequence[Comparison]]) -> Sequence[Comparison]:
    return await comparisons
