"""The commands under `rollbook relay`; without one of them it runs the role."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from interfaces.cli.errors import failing

Json = Annotated[bool, typer.Option("--json", help="Print JSON lines.")]
DataDir = Annotated[Path, typer.Option(help="Directory of the local instance.", file_okay=False)]

_HERE = Path(".rollbook")


def relay_commands(run_role: Callable[[], None]) -> typer.Typer:
    """The command group; `run_role` runs the relay in this process."""
    relay = typer.Typer(invoke_without_command=True)

    @relay.callback()
    def run(context: typer.Context) -> None:
        """Publish events of ROLLBOOK_DATABASE_URL to ROLLBOOK_AMQP_URL; if several run, one leads."""
        if context.invoked_subcommand is None:
            run_role()

    @relay.command()
    def status(json: Json = False, data_dir: DataDir = _HERE) -> None:
        """Show how far the relay of ROLLBOOK_URL, else here, is, and how many events it set aside."""
        from interfaces.cli.relay.run import show_status

        with failing():
            show_status(data_dir, json=json)

    @relay.command()
    def replay(
        json: Json = False,
        detach: Annotated[
            bool, typer.Option("--detach", help="Do not wait for the end of the job.")
        ] = False,
        data_dir: DataDir = _HERE,
    ) -> None:
        """Publish the events that were set aside again; exit code 1 if some are refused again."""
        from interfaces.cli.relay.run import replay as replay_rejected

        with failing():
            raise typer.Exit(replay_rejected(data_dir, json=json, detach=detach))

    return relay
