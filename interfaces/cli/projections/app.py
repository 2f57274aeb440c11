"""The commands under `rollbook projections`, each a few lines around its own module."""

from pathlib import Path
from typing import Annotated, Any

import typer

from interfaces.cli.errors import failing

projections = typer.Typer(
    help="List the projections; rebuild, verify, repair or pause one.", invoke_without_command=True
)

Name = Annotated[str, typer.Argument(help="The projection, such as users.")]
Stream = Annotated[str, typer.Argument(help="The parked stream, by id.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON lines.")]
Detach = Annotated[bool, typer.Option("--detach", help="Do not wait for the end of the job.")]
DataDir = Annotated[
    Path, typer.Option(help="Directory of the local instance.", file_okay=False, show_default=True)
]

_HERE = Path(".rollbook")


@projections.callback()
def list_all(context: typer.Context, json: Json = False, data_dir: DataDir = _HERE) -> None:
    """List the projections and how far they are."""
    from interfaces.cli.projections.run import list_projections

    if context.invoked_subcommand is None:
        with failing():
            list_projections(data_dir, json=json)


@projections.command()
def rebuild(
    name: Name, json: Json = False, detach: Detach = False, data_dir: DataDir = _HERE
) -> None:
    """Rebuild a projection beside the current generation, compare them, then switch."""
    _run_job(data_dir, name, "rebuild", {}, json=json, detach=detach)


@projections.command()
def rollback(
    name: Name,
    to: Annotated[
        int,
        typer.Option(help="The generation; the list of projections shows the former one.", min=1),
    ],
    json: Json = False,
    detach: Detach = False,
    data_dir: DataDir = _HERE,
) -> None:
    """Switch back to the previous generation."""
    _run_job(data_dir, name, "rollback", {"to": to}, json=json, detach=detach)


@projections.command()
def verify(
    name: Name,
    repair: Annotated[
        bool, typer.Option("--repair", help="Switch to the new build if anything differs.")
    ] = False,
    json: Json = False,
    detach: Detach = False,
    data_dir: DataDir = _HERE,
) -> None:
    """Build a projection from the log, compare, and drop it; exit code 1 if it differs."""
    body = {"repair": True} if repair else {}
    _run_job(data_dir, name, "verify", body, json=json, detach=detach)


@projections.command()
def parked(name: Name, json: Json = False, data_dir: DataDir = _HERE) -> None:
    """List the parked streams of a projection, and why."""
    from interfaces.cli.projections.run import list_parked

    with failing():
        list_parked(data_dir, name, json=json)


@projections.command()
def retry(
    name: Name,
    stream: Annotated[str | None, typer.Argument(help="The parked stream, by id.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Retry all, as a job.")] = False,
    json: Json = False,
    detach: Detach = False,
    data_dir: DataDir = _HERE,
) -> None:
    """Retry a parked stream, from the event that is parked; or each of them once."""
    if every == (stream is not None):
        raise typer.BadParameter("give either a stream or --all")
    if every:
        _run_job(data_dir, name, "parked/retry", {}, json=json, detach=detach)
    else:
        _admin_command(data_dir, name, f"parked/{stream}/retry", {}, json=json)


@projections.command()
def skip(
    name: Name,
    stream: Stream,
    version: Annotated[
        int, typer.Option(help="The event to skip, by version; no other one is skipped.", min=1)
    ],
    reason: Annotated[str, typer.Option(help="Why; the reason is recorded.")],
    json: Json = False,
    data_dir: DataDir = _HERE,
) -> None:
    """Skip the parked event of a stream for good, and continue after it."""
    body = {"version": version, "reason": reason}
    _admin_command(data_dir, name, f"parked/{stream}/skip", body, json=json)


@projections.command()
def unskip(
    name: Name,
    stream: Stream,
    version: Annotated[int, typer.Option(help="The event that is skipped, by version.", min=1)],
    json: Json = False,
    data_dir: DataDir = _HERE,
) -> None:
    """Skip an event no more, and fold its stream again from the first event."""
    _admin_command(data_dir, name, f"parked/{stream}/unskip", {"version": version}, json=json)


@projections.command()
def pause(
    name: Name,
    reason: Annotated[str | None, typer.Option(help="Why, for other administrators.")] = None,
    json: Json = False,
    data_dir: DataDir = _HERE,
) -> None:
    """Pause a projection."""
    _admin_command(data_dir, name, "pause", {} if reason is None else {"reason": reason}, json=json)


@projections.command()
def resume(name: Name, json: Json = False, data_dir: DataDir = _HERE) -> None:
    """Resume a projection."""
    _admin_command(data_dir, name, "resume", {}, json=json)


@projections.command()
def drop(name: Name, data_dir: DataDir = _HERE) -> None:
    """Drop all that is stored of a projection that no release has any more."""
    from interfaces.cli.projections.run import drop_projection

    with failing():
        drop_projection(data_dir, name)


def _run_job(
    data_dir: Path, name: str, what: str, body: dict[str, Any], *, json: bool, detach: bool
) -> None:
    from interfaces.cli.projections.run import run_projection_job

    with failing():
        raise typer.Exit(run_projection_job(data_dir, name, what, body, json=json, detach=detach))


def _admin_command(
    data_dir: Path, name: str, what: str, body: dict[str, Any], *, json: bool
) -> None:
    from interfaces.cli.projections.run import admin_command

    with failing():
        admin_command(data_dir, name, what, body, json=json)
