"""The `rollbook` command: every command on one page, each a few lines around its own module.

A command imports what it needs when it runs, so that help, completion and the supervisor do not
load the web framework.
"""

import asyncio
import socket
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from interfaces.cli.core_dumps import disable_core_dumps
from interfaces.cli.errors import failing
from interfaces.cli.export.app import export
from interfaces.cli.jobs.app import jobs
from interfaces.cli.keys.app import keys
from interfaces.cli.log.app import log
from interfaces.cli.projections.app import projections
from interfaces.cli.reactions.app import reactions
from interfaces.cli.relay.app import relay_commands
from interfaces.cli.server.listener import open_listener
from interfaces.cli.server.supervised import Supervised
from interfaces.cli.tokens.app import tokens
from interfaces.cli.webhooks.app import webhooks
from interfaces.garbage_collection import disable_gc
from interfaces.roles import Role, Roles, parse_roles
from interfaces.settings import LocalSettings, MigrationSettings, Settings, load, load_for

app = typer.Typer(
    help="A user directory that remembers every change.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(export, name="export")
app.add_typer(jobs, name="jobs")
app.add_typer(keys, name="keys")
app.add_typer(log, name="log")
app.add_typer(projections, name="projections")
app.add_typer(reactions, name="reactions")
app.add_typer(tokens, name="tokens")
app.add_typer(webhooks, name="webhooks")

Json = Annotated[bool, typer.Option("--json", help="Print JSON lines.")]
Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)]
DataDir = Annotated[
    Path, typer.Option(help="Directory of data, keys and the admin token.", file_okay=False)
]


@app.callback()
def prepare() -> None:
    disable_core_dumps()


@app.command()
def up(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    data_dir: DataDir = Path(".rollbook"),
    split: Annotated[bool, typer.Option("--split", help="Run one process per role.")] = False,
) -> None:
    """Run a whole Rollbook here: all roles, and each server that no ROLLBOOK_…_URL names."""
    from interfaces.cli.server.up import up as run

    with failing():
        run(load(LocalSettings), host=host, port=port, data_dir=data_dir, split=split)


@app.command()
def api(host: Host = "127.0.0.1", port: Port = 8000) -> None:
    """Serve the HTTP API on ROLLBOOK_DATABASE_URL."""
    with failing():
        settings = load_for(frozenset({"api"}))
        with open_listener(host, port) as listener:
            raise typer.Exit(_serve(settings, frozenset({"api"}), listener))


@app.command()
def projector() -> None:
    """Keep the views of ROLLBOOK_DATABASE_URL up to date; if several run, one leads."""
    with failing():
        _run_role("projector")


@app.command()
def worker() -> None:
    """Run the jobs of ROLLBOOK_DATABASE_URL, a few at once; several workers share them."""
    with failing():
        _run_role("worker")


@app.command(hidden=True)
def serve(
    roles: Annotated[str, typer.Option(help="The roles to run, a comma-separated list.")],
    descriptor: Annotated[
        int | None, typer.Option("--socket", help="The listening socket, inherited.")
    ] = None,
    high_water: Annotated[
        Path | None, typer.Option("--high-water", help="The file of the high-water mark.")
    ] = None,
    restarted: Annotated[bool, typer.Option("--restarted", help="It ran before.")] = False,
) -> None:
    """Run roles for `rollbook up`, which holds the other end of the standard input."""
    with failing():
        parent_socket = socket.socket(fileno=sys.stdin.fileno())
        listener = None if descriptor is None else socket.socket(fileno=descriptor)
        chosen = parse_roles(roles)
        settings = load_for(chosen)
        supervised = Supervised(
            parent_socket=parent_socket, high_water_file=high_water, restarted=restarted
        )
        raise typer.Exit(_serve(settings, chosen, listener, supervised))


@app.command()
def migrate() -> None:
    """Migrate the database to the newest schema; several processes may run it at once."""
    from infrastructure.migrations import MigrationFailed
    from infrastructure.migrations import migrate as run
    from infrastructure.server_checks import UnsuitableServer, check_server

    with failing(MigrationFailed, UnsuitableServer):
        url = load(MigrationSettings).database_url.get_secret_value()
        asyncio.run(check_server(url))
        asyncio.run(run(url))


@app.command()
def doctor() -> None:
    """Check that the settings are complete and the database can hold a Rollbook."""
    from infrastructure.server_checks import UnsuitableServer
    from interfaces.cli.doctor import doctor as run

    with failing(UnsuitableServer):
        run(load_for(frozenset({"api"})))


@app.command(name="import")
def import_(
    file: Annotated[
        Path, typer.Argument(help="An LDIF file, or - for the standard input.", dir_okay=False)
    ],
    update: Annotated[
        bool, typer.Option("--update", help="Change existing users to what the file says.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON lines: one per row, then a summary.")
    ] = False,
    data_dir: DataDir = Path(".rollbook"),
) -> None:
    """Register each person of an LDIF file at ROLLBOOK_URL, else here; a repeat changes nothing."""
    from interfaces.cli.ldif_import.run import STANDARD_INPUT
    from interfaces.cli.ldif_import.run import import_file as run

    # Typer's own check takes - for the name of a file.
    if file != STANDARD_INPUT and not file.exists():
        raise typer.BadParameter(f"file '{file}' does not exist.", param_hint="'file'")
    with failing():
        raise typer.Exit(run(file, data_dir, update=update, dry_run=dry_run, json=json))


@app.command()
def tail(
    after: Annotated[
        int | None, typer.Option(help="Events after this position; default: only new ones.", min=0)
    ] = None,
    types: Annotated[str, typer.Option(help="Such as user.renamed,user.erased or user.*.")] = "",
    user: Annotated[str, typer.Option(help="Only the events of this user, by id.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Print envelopes as JSON lines.")] = False,
    data_dir: DataDir = Path(".rollbook"),
) -> None:
    """Print the events of ROLLBOOK_URL, else here, as they are recorded, until Ctrl-C."""
    from interfaces.cli.client.tail import TailRequest
    from interfaces.cli.client.tail import tail as run

    with failing():
        run(data_dir, TailRequest(after, types, user), json=json)


@app.command()
def signin(
    name: Annotated[
        str | None, typer.Option(help="Your name in the audit: local:NAME. Default: your user.")
    ] = None,
    json: Json = False,
    data_dir: DataDir = Path(".rollbook"),
) -> None:
    """Print a one-use link that signs in to the console of ROLLBOOK_URL, else here."""
    from interfaces.cli.client.sign_in import print_link

    with failing():
        print_link(data_dir, name, json=json)


@app.command()
def verify(
    repair: Annotated[
        bool, typer.Option("--repair", help="Switch to a new build of what differs.")
    ] = False,
    schemas: Annotated[
        bool,
        typer.Option(
            "--schemas",
            help="Check instead that this release can read all events of ROLLBOOK_DATABASE_URL.",
        ),
    ] = False,
    json: Json = False,
    data_dir: DataDir = Path(".rollbook"),
) -> None:
    """Compare the views of ROLLBOOK_URL, else here, with the log; exit code 1 if any differs."""
    from infrastructure.server_checks import UnsuitableServer
    from interfaces.cli.verify.schemas import verify_schemas
    from interfaces.cli.verify.views import verify_views

    if schemas and repair:
        raise typer.BadParameter("--schemas has nothing to repair")
    with failing(UnsuitableServer):
        if schemas:
            raise typer.Exit(verify_schemas(data_dir, json=json))
        raise typer.Exit(verify_views(data_dir, repair=repair, json=json))


def _run_relay() -> NoReturn:
    with failing():
        _run_role("relay")


def _run_role(role: Role) -> NoReturn:
    roles: Roles = frozenset({role})
    raise typer.Exit(_serve(load_for(roles), roles))


def _serve(
    settings: Settings,
    roles: Roles,
    listener: socket.socket | None = None,
    supervised: Supervised | None = None,
) -> int:
    disable_gc()
    # Imported after the settings are checked: it takes a second to load.
    from interfaces.cli.server.serve import serve as run

    return run(settings, roles, listener, supervised)


app.add_typer(relay_commands(_run_relay), name="relay")

if __name__ == "__main__":
    app()
