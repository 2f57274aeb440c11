"""The commands under `rollbook reactions`, each a few lines around its own module."""

from pathlib import Path
from typing import Annotated

import typer

from interfaces.cli.errors import failing

reactions = typer.Typer(
    help="List what happens by itself; enable, disable or repair it.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="The reaction, such as welcome.")]
User = Annotated[str, typer.Argument(help="The parked user, by id.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON lines.")]
DataDir = Annotated[
    Path, typer.Option(help="Directory of the local instance.", file_okay=False, show_default=True)
]

_HERE = Path(".rollbook")


@reactions.command("list")
def list_all(json: Json = False, data_dir: DataDir = _HERE) -> None:
    """List the reactions, whether they are on, and what they are still to do."""
    from interfaces.cli.reactions.run import list_reactions

    with failing():
        list_reactions(data_dir, json=json)


@reactions.command()
def parked(name: Name, json: Json = False, data_dir: DataDir = _HERE) -> None:
    """List the users that are parked for a reaction, and why."""
    from interfaces.cli.reactions.run import list_parked

    with failing():
        list_parked(data_dir, name, json=json)


@reactions.command()
def retry(name: Name, user: User, json: Json = False, data_dir: DataDir = _HERE) -> None:
    """Run the event at which a user is parked again."""
    _command(data_dir, name, f"parked/{user}/retry", {}, json=json)


@reactions.command()
def skip(
    name: Name,
    user: User,
    reason: Annotated[str, typer.Option(help="Why; the reason is recorded.")],
    json: Json = False,
    data_dir: DataDir = _HERE,
) -> None:
    """Skip the event at which a user is parked for good, and go on after it."""
    _command(data_dir, name, f"parked/{user}/skip", {"reason": reason}, json=json)


@reactions.command()
def enable(name: Name, json: Json = False, data_dir: DataDir = _HERE) -> None:
    """Enable a reaction, for events from now on."""
    _command(data_dir, name, "enable", {}, json=json)


@reactions.command()
def disable(name: Name, json: Json = False, data_dir: DataDir = _HERE) -> None:
    """Disable a reaction; what it was still to do is skipped."""
    _command(data_dir, name, "disable", {}, json=json)


def _command(data_dir: Path, name: str, what: str, body: dict[str, str], *, json: bool) -> None:
    from interfaces.cli.reactions.run import admin_command

    with failing():
        admin_command(data_dir, name, what, body, json=json)
