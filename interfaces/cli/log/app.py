"""The commands under `rollbook log`, each a few lines around its own module."""

from pathlib import Path
from typing import Annotated, Final

import typer

from interfaces.cli.errors import failing

log = typer.Typer(help="The log of all events.", no_args_is_help=True)

# Positions are exact in JSON up to 2⁵³.
MAX_POSITION: Final = 9 * 10**15

Json = Annotated[bool, typer.Option("--json", help="Print JSON lines.")]
DataDir = Annotated[Path, typer.Option(help="Directory of the local instance.", file_okay=False)]
Beyond = Annotated[
    int,
    typer.Option(
        help="The highest position that any reader has seen, if you know it.",
        min=0,
        max=MAX_POSITION,
    ),
]


@log.command("break")
def break_log(
    beyond: Beyond = 0, json: Json = False, data_dir: DataDir = Path(".rollbook")
) -> None:
    """Record that the database was restored, where Rollbook could not notice it."""
    from infrastructure.server_checks import UnsuitableServer
    from interfaces.cli.log.run import break_log as run

    with failing(UnsuitableServer):
        run(data_dir, beyond=beyond, json=json)
