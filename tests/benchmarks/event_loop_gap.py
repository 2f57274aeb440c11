"""The longest gap of the API's event loop while the worst requests arrive on eight connections.

For each subject: the gap, and the p99 of another caller's commands, as a ratio to its p99 alone in
the same round. The gap is also printed as the time that the process itself was busy, because other
programs on the machine may take the processor away from it.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvloop

from tests.benchmarks.harness import Comparison, Options, migrated_database, report
from tests.support.hostile.attack import PAGES, SUBJECTS, Figures, MeasuredApi, measured_api

MAX_GAP_SECONDS: Final = 0.02
MAX_RATIO: Final = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="for each side of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    parser.add_argument("--only", choices=SUBJECTS, help="one subject")
    given = parser.parse_args()
    subjects: Sequence[str] = [given.only] if given.only else SUBJECTS
    options = Options(given.seconds, given.rounds, given.check)
    with migrated_database() as url, tempfile.TemporaryDirectory() as directory:
        is_short = uvloop.run(_measured(url, Path(directory), subjects, options))
    if given.check and not is_short:
        sys.exit(1)


async def _measured(url: str, directory: Path, subjects: Sequence[str], given: Options) -> bool:
    """Whether each gap was short enough; `report` checks the ratios."""
    is_short = True
    comparisons: list[Comparison] = []
    async with measured_api(url, directory) as api:
        await api.alone(given.seconds / 4)
        for subject in subjects:
            alone, under = await _rounds(api, subject, given)
            found, idle = Figures.median(under), Figures.median(alone)
            # Pages are answers, not what a client sends: their figures are printed only.
            is_enforced = subject != PAGES
            is_short &= not is_enforced or found.wall - idle.wall <= MAX_GAP_SECONDS
            sys.stdout.write(
                f"{subject}: longest gap {1000 * found.wall:.1f} ms, busy {1000 * found.busy:.1f} ms"
                f" (target: at most {1000 * MAX_GAP_SECONDS:.0f} ms more than alone:"
                f" {1000 * idle.wall:.1f} ms)\n"
            )
            comparisons.append(
                Comparison(
                    f"{subject}, p99 of another caller",
                    [1000 * each.p99 for each in alone],
                    [1000 * each.p99 for each in under],
                    MAX_RATIO if is_enforced else 0.0,
                    unit=" ms",
                    lower_is_better=is_enforced,
                )
            )
    report(comparisons, given)
    return is_short


async def _rounds(
    api: MeasuredApi, subject: str, given: Options
) -> tuple[list[Figures], list[Figures]]:
    rounds = [
        (await api.alone(given.seconds), await api.under(subject, given.seconds))
        for _ in range(given.rounds)
    ]
    return [alone for alone, _ in rounds], [under for _, under in rounds]


if __name__ == "__main__":
    main()
