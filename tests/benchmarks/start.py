"""How long `rollbook up` takes from the command to its first answer, with existing data.

    python -m tests.benchmarks.start [--rounds N] [--check]

The twin only imports the modules of the application: no Python program with them starts faster.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.support.servers.rollbook import RunningRollbook, rollbook_environment

MAX_SECONDS: Final = 2.5
# What the application of `rollbook up` imports with all its roles.
_IMPORTS: Final = "import " + ", ".join(
    f"interfaces.{module}"
    for module in (
        "cli.server.http_server",
        "composition.api",
        "composition.projector",
        "composition.worker",
    )
)
_ENDS: Final[dict[str, Callable[[RunningRollbook], object]]] = {
    "after a clean stop": RunningRollbook.stop,
    "after kill -9 of the supervisor": RunningRollbook.kill,
    "after kill -9 of every process": RunningRollbook.kill_all,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--check", action="store_true", help="exit with 1 if the target is missed")
    options = parser.parse_args()
    took: dict[str, list[float]] = {name: [] for name in _ENDS}
    imports: list[float] = []
    with (
        tempfile.TemporaryDirectory() as directory,
        RunningRollbook(Path(directory) / "data") as rollbook,
    ):
        _register(rollbook, 200)
        for _ in range(options.rounds):
            imports.append(_seconds_to_import())
            for name, end in _ENDS.items():
                end(rollbook)
                took[name].append(rollbook.start())
    twin = statistics.median(imports)
    sys.stdout.write(f"the imports alone: {twin:.2f} s\n")
    medians = {name: statistics.median(seconds) for name, seconds in took.items()}
    for name, seconds in medians.items():
        sys.stdout.write(
            f"ready {name}: {seconds:.2f} s, {seconds / twin:.1f}x the imports alone\n"
        )
    slowest = max(medians.values())
    sys.stdout.write(
        f"target: at most {MAX_SECONDS:g} s: {'met' if slowest <= MAX_SECONDS else 'MISSED'}\n"
    )
    return int(options.check and slowest > MAX_SECONDS)


def _register(rollbook: RunningRollbook, count: int) -> None:
    headers = {"Authorization": f"Bearer {rollbook.token}", "Content-Type": "application/json"}
    for number in range(count):
        body = f'{{"name": "Åsa Öberg", "email": "asa{number}@example.com"}}'.encode()
        request = urllib.request.Request(f"{rollbook.url}/v1/users", body, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 201


def _seconds_to_import() -> float:
    began = time.monotonic()
    command = [sys.executable, "-P", "-c", _IMPORTS]
    subprocess.run(command, env=rollbook_environment(), cwd="/", check=True)
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
