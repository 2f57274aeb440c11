"""The commands under `rollbook jobs`, each a few lines around its own module."""

from pathlib import Path
from typing import Annotated

import typer

from application.jobs.model import JOB_STATES
from interfaces.cli.errors import failing

jobs = typer.Typer(help="List jobs; show or cancel one.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(help="The job, by id.", metavar="JOB")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON lines.")]
DataDir = Annotated[Path, typer.Option(help="Directory of the local instance.", file_okay=False)]

_HERE = Path(".rollbook")


@jobs.command("list")
def list_(
    state: Annotated[
        str, typer.Option(help=f"Only jobs in these states, a comma list: {', '.join(JOB_STATES)}.")
    ] = "",
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 50,
    json: Json = False,
    data_dir: DataDir = _HERE,
) -> None:
    """List the jobs of ROLLBOOK_URL, else here, the newest first."""
    from interfaces.cli.jobs.run import list_jobs

    states = [each.strip() for each in state.split(",") if each.strip()]
    for each in states:
        if each not in JOB_STATES:
            known = ", ".join(JOB_STATES)
            raise typer.BadParameter(f"there is no state {each}; there are {known}")
    with failing():
        list_jobs(data_dir, states, limit, json=json)


@jobs.command()
def show(job: JobId, json: Json = False, data_dir: DataDir = _HERE) -> None:
    """Show a job: its state, progress, result and error."""
    from interfaces.cli.jobs.run import show_job

    with failing():
        show_job(data_dir, job, json=json)


@jobs.command()
def cancel(job: JobId, json: Json = False, data_dir: DataDir = _HERE) -> None:
    """Cancel a job: at once while it waits, soon while it runs; exit code 1 if it had ended."""
    from interfaces.cli.jobs.run import cancel_job

    with failing():
        raise typer.Exit(cancel_job(data_dir, job, json=json))
