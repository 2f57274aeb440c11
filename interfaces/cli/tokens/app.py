"""The commands under `rollbook tokens`, each a few lines around its own module."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from application.identity import PERMISSIONS, Preset
from interfaces.cli.errors import failing
from interfaces.cli.tokens.durations import parse_duration

tokens = typer.Typer(help="Create, list, rotate and revoke tokens.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="The token, by id.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON lines.")]
DataDir = Annotated[
    Path, typer.Option(help="Directory of the local instance.", file_okay=False, show_default=True)
]

_HERE = Path(".rollbook")


def _permission(text: str) -> str:
    if text not in PERMISSIONS:
        raise typer.BadParameter(f"must be one of {', '.join(PERMISSIONS)}")
    return text


@tokens.command()
def create(
    name: Annotated[str, typer.Argument(help="The program that uses the token, such as crm.")],
    preset: Annotated[Preset | None, typer.Option(help="What it may do.")] = None,
    permission: Annotated[
        list[str] | None,
        typer.Option(
            parser=_permission,
            metavar="|".join(PERMISSIONS),
            help="Instead of a preset; may be given several times.",
        ),
    ] = None,
    expires: Annotated[
        timedelta | None,
        typer.Option(
            parser=parse_duration,
            metavar="DURATION",
            help="From now on, such as 90d; default: the token does not expire.",
        ),
    ] = None,
    json: Json = False,
    data_dir: DataDir = _HERE,
) -> None:
    """Create a token at ROLLBOOK_URL, else here, and print it: it is shown only once."""
    from interfaces.cli.tokens.run import NewToken, create_token

    if (preset is None) == (not permission):
        raise typer.BadParameter("give either --preset or --permission")
    asked = NewToken(
        name=name,
        preset=preset,
        permissions=permission or (),
        expires=expires,
    )
    with failing():
        create_token(data_dir, asked, json=json)


@tokens.command(name="list")
def list_all(json: Json = False, data_dir: DataDir = _HERE) -> None:
    """List the tokens that are not revoked."""
    from interfaces.cli.tokens.run import list_tokens

    with failing():
        list_tokens(data_dir, json=json)


@tokens.command()
def rotate(
    token: Id,
    overlap: Annotated[
        timedelta | None,
        typer.Option(
            parser=parse_duration,
            metavar="DURATION",
            help="For so long, such as 1h and at most 24h, the former secret is accepted too; "
            "default: it ends at once.",
        ),
    ] = None,
    json: Json = False,
    data_dir: DataDir = _HERE,
) -> None:
    """Make a new secret of a token, and print it: it is shown only once."""
    from interfaces.cli.tokens.run import rotate_token

    with failing():
        rotate_token(data_dir, token, overlap or timedelta(), json=json)


@tokens.command()
def revoke(token: Id, json: Json = False, data_dir: DataDir = _HERE) -> None:
    """Revoke a token for good: every process refuses it within 5 seconds."""
    from interfaces.cli.tokens.run import revoke_token

    with failing():
        revoke_token(data_dir, token, json=json)
