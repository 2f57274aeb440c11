"""The `rollbook` command: every command on one page, each a few lines around its own module.

A command imports what it needs when it runs, so that help, completion and the supervisor do not
load the web framework.
"""

import asyncio
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from infrastructure.embedded.errors import EmbeddedServerError
from interfaces.cli.errors import CommandFailed
from interfaces.cli.listener import open_listener
from interfaces.roles import parse_roles
from interfaces.settings import LocalSettings, MigrationSettings, Settings, WrongSetting, load

FAILED = 1
USAGE = 2

app = typer.Typer(
    help="A user directory that remembers every change.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)]
DataDir = Annotated[
    Path, typer.Option(help="Where data, keys and the admin token lie.", file_okay=False)
]


@app.command()
def up(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    data_dir: DataDir = Path(".rollbook"),
    split: Annotated[bool, typer.Option("--split", help="Run one process a role.")] = False,
) -> None:
    """Run a whole Rollbook here: all roles, and the servers that no ROLLBOOK_…_URL names."""
    from interfaces.cli.up import up as run

    with failing():
        run(load(LocalSettings), host=host, port=port, data_dir=data_dir, split=split)


@app.command()
def api(host: Host = "127.0.0.1", port: Port = 8000) -> None:
    """Answer HTTP requests, against ROLLBOOK_DATABASE_URL."""
    from interfaces.cli.serve import serve as run

    with failing():
        settings = load(Settings)
        with open_listener(host, port) as listener:
            raise typer.Exit(run(settings, frozenset({"api"}), listener))


@app.command()
def projector() -> None:
    """Keep the views of ROLLBOOK_DATABASE_URL up to date; of several, one leads."""
    from interfaces.cli.serve import serve as run

    with failing():
        raise typer.Exit(run(load(Settings), frozenset({"projector"})))


@app.command()
def relay() -> None:
    """Pass events on from ROLLBOOK_DATABASE_URL to ROLLBOOK_AMQP_URL; of several, one leads."""
    from interfaces.cli.serve import serve as run

    with failing():
        raise typer.Exit(run(load(Settings, "amqp_url"), frozenset({"relay"})))


@app.command(hidden=True)
def serve(
    roles: Annotated[str, typer.Option(help="The roles to run, a comma list.")],
    descriptor: Annotated[
        int | None, typer.Option("--socket", help="The listening socket, inherited.")
    ] = None,
) -> None:
    """Run roles for `rollbook up`, which holds the other end of the standard input."""
    from interfaces.cli.serve import serve as run

    with failing():
        leash = socket.socket(fileno=sys.stdin.fileno())
        listener = None if descriptor is None else socket.socket(fileno=descriptor)
        chosen = parse_roles(roles)
        raise typer.Exit(run(load(Settings), chosen, listener, leash=leash, migrating=True))


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema; several may run it at once."""
    from infrastructure.migrations import MigrationBusy
    from infrastructure.migrations import migrate as run
    from infrastructure.suitability import UnsuitableServer, check_server

    with failing(MigrationBusy, UnsuitableServer):
        url = load(MigrationSettings).database_url.get_secret_value()
        asyncio.run(check_server(url))
        asyncio.run(run(url))


@app.command()
def doctor() -> None:
    """Say whether the settings are complete and the database can hold a Rollbook."""
    from infrastructure.suitability import UnsuitableServer, check_server

    with failing(UnsuitableServer):
        version = asyncio.run(check_server(load(Settings).database_url.get_secret_value()))
        typer.echo(f"settings are complete; Postgres {version} is reached directly")


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(help="An LDIF file.", exists=True, dir_okay=False)],
    update: Annotated[
        bool, typer.Option("--update", help="Change users who are there to what the file says.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON lines: one a row, then a summary.")
    ] = False,
    data_dir: DataDir = Path(".rollbook"),
) -> None:
    """Register each person of an LDIF file at ROLLBOOK_URL, else here; again changes nothing."""
    from interfaces.cli.import_ import import_file as run

    with failing():
        raise typer.Exit(run(file, data_dir, update=update, json=json))


@app.command()
def tail(
    after: Annotated[
        int | None, typer.Option(help="Events after this position; only new ones without.", min=0)
    ] = None,
    types: Annotated[str, typer.Option(help="Such as user.renamed,user.erased or user.*.")] = "",
    user: Annotated[str, typer.Option(help="Only the events of this user, by id.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print envelopes as JSON lines.")] = False,
    data_dir: DataDir = Path(".rollbook"),
) -> None:
    """Print events of ROLLBOOK_URL, else of here, as they are recorded, until Ctrl-C."""
    from interfaces.cli.tail import Asked
    from interfaces.cli.tail import tail as run

    with failing():
        run(data_dir, Asked(after, types, user), json=json)


@contextmanager
def failing(*expected: type[Exception]) -> Generator[None]:
    """Say in one line what went wrong, and end with the exit code for it."""
    try:
        yield
    except WrongSetting as error:
        typer.echo(f"rollbook: {error}", err=True)
        raise typer.Exit(USAGE) from None
    except (CommandFailed, EmbeddedServerError, *expected) as error:
        typer.echo(f"rollbook: {error}", err=True)
        raise typer.Exit(FAILED) from None


if __name__ == "__main__":
    app()
