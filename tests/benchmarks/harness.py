"""What benchmarks share: a database to throw away, rounds in turn with a twin, and the verdict.

A number of events a second says little on a machine that others use. So each benchmark runs a
twin, the plainest thing that does the same work, in turn with ours, and reports the ratio.
"""

import argparse
import asyncio
import statistics
import sys
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Final

import uvloop
from msgspec import Struct

from infrastructure.migrations import migrate
from tests.servers import database, postgres_server

Measured = Callable[[float], Awaitable[float]]
"""Works for that many seconds, and returns how much it did in a second."""

_ROUNDS: Final = 5
_SECONDS: Final = 1.0


class Options(Struct, frozen=True):
    """How long each side of a round runs, how many rounds there are, and whether to insist."""

    seconds: float
    rounds: int
    check: bool


class Comparison(Struct, frozen=True):
    """What the two did in a second, round by round."""

    subject: str
    twin: Sequence[float]
    ours: Sequence[float]
    target: float

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios: what slows one round down slows both of its sides."""
        return statistics.median(
            ours / twin for twin, ours in zip(self.twin, self.ours, strict=True)
        )

    def __str__(self) -> str:
        ours, twin = statistics.median(self.ours), statistics.median(self.twin)
        return (
            f"{self.subject}: {self.ratio:.2f}x its twin"
            f" (at least {self.target:g}x is asked; {ours:,.0f}/s against {twin:,.0f}/s)"
        )


def options(about: str | None) -> Options:
    """The options of a benchmark's command line."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="for each side of a round")
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    parser.add_argument("--check", action="store_true", help="exit with 1 below a target")
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
    await twin(given.seconds / 4)
    await ours(given.seconds / 4)
    rounds = [(await twin(given.seconds), await ours(given.seconds)) for _ in range(given.rounds)]
    return Comparison(subject, [one for one, _ in rounds], [two for _, two in rounds], target)


def report(comparisons: Sequence[Comparison], given: Options) -> None:
    """Print what was found; with `--check`, end with code 1 where a target was missed."""
    for comparison in comparisons:
        sys.stdout.write(f"{comparison}\n")
    if given.check and any(found.ratio < found.target for found in comparisons):
        sys.exit(1)


def run(benchmark: Callable[[str, Options], Awaitable[Sequence[Comparison]]], about: str) -> None:
    """A benchmark's whole run: its options, its database, the event loop of production."""
    given = options(about)
    with migrated_database() as url:
        report(uvloop.run(_awaited(benchmark(url, given))), given)


async def _awaited(comparisons: Awaitable[Sequence[Comparison]]) -> Sequence[Comparison]:
    return await comparisons
