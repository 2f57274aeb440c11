"""The commands under `rollbook keys`, each a few lines around its own module."""

from pathlib import Path
from typing import Annotated

import typer

from interfaces.cli.errors import failing

keys = typer.Typer(help="The master keys that seal personal data.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON lines.")]
DataDir = Annotated[Path, typer.Option(help="Directory of the local instance.", file_okay=False)]

_HERE = Path(".rollbook")


@keys.command("list")
def list_keys(json: Json = False, data_dir: DataDir = _HERE) -> None:
    """Show which master keys wrap how many keys, and which one wraps new keys."""
    from infrastructure.server_checks import UnsuitableServer
    from interfaces.cli.keys.run import list_keys as run

    with failing(UnsuitableServer):
        run(data_dir, json=json)


@keys.command("add")
def add_key(data_dir: DataDir = _HERE) -> None:
    """Add a new master key to this data directory, for `rollbook up`; the old ones stay."""
    from interfaces.cli.keys.run import add_key as run

    with failing():
        run(data_dir)


@keys.command("rotate")
def rotate_keys(json: Json = False, data_dir: DataDir = _HERE) -> None:
    """Rewrap all keys with the newest master key, while the service runs."""
    from infrastructure.server_checks import UnsuitableServer
    from interfaces.cli.keys.run import rotate_keys as run

    with failing(UnsuitableServer):
        raise typer.Exit(run(data_dir, json=json))
