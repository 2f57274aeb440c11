"""The commands under `rollbook webhooks`, each a few lines around its own module."""

from pathlib import Path
from typing import Annotated, Any

import typer

from interfaces.cli.errors import failing

webhooks = typer.Typer(
    help="List, create, pause, resume and replay webhooks.", no_args_is_help=True
)

Id = Annotated[str, typer.Argument(metavar="ID", help="The webhook, by id.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON lines.")]
DataDir = Annotated[
    Path, typer.Option(help="Directory of the local instance.", file_okay=False, show_default=True)
]

_HERE = Path(".rollbook")


@webhooks.command(name="list")
def list_all(json: Json = False, data_dir: DataDir = _HERE) -> None:
    """List the webhooks of ROLLBOOK_URL, else here, and how far their deliveries are."""
    from interfaces.cli.webhooks.run import list_webhooks

    with failing():
        list_webhooks(data_dir, json=json)


@webhooks.command()
def create(
    url: Annotated[str, typer.Argument(help="Where events are posted to: https://…")],
    types: Annotated[
        str, typer.Option(help="Such as user.renamed,user.erased; all of users by default.")
    ] = "",
    user: Annotated[str, typer.Option(help="Only the events of this user, by id.")] = "",
    open_personal_data: Annotated[
        bool,
        typer.Option("--open-personal-data", help="Let the endpoint get names and addresses."),
    ] = False,
    description: Annotated[str, typer.Option(help="For people.")] = "",
    after: Annotated[
        int | None,
        typer.Option(help="Begin after this position, 0 for all; default: only new events.", min=0),
    ] = None,
    json: Json = False,
    data_dir: DataDir = _HERE,
) -> None:
    """Create a webhook, and print its secret: it is shown only once."""
    body: dict[str, Any] = {
        "url": url,
        "types": [name.strip() for name in types.split(",")] if types else None,
        "user": user or None,
        "personal": "open" if open_personal_data else None,
        "description": description or None,
        "after": after,
    }
    given = {name: value for name, value in body.items() if value is not None}
    _send(data_dir, "", given, json=json)


@webhooks.command()
def pause(
    webhook: Id,
    reason: Annotated[str, typer.Option(help="Why it is paused; recorded with the actor.")] = "",
    json: Json = False,
    data_dir: DataDir = _HERE,
) -> None:
    """Pause a webhook: it keeps its position."""
    _send(data_dir, f"{webhook}/pause", {"reason": reason} if reason else {}, json=json)


@webhooks.command()
def resume(webhook: Id, json: Json = False, data_dir: DataDir = _HERE) -> None:
    """Resume a webhook that is paused or disabled, from its position on."""
    _send(data_dir, f"{webhook}/resume", {}, json=json)


@webhooks.command()
def replay(
    webhook: Id,
    after: Annotated[int, typer.Option(help="After this position; 0 for all.", min=0)],
    until: Annotated[
        int | None,
        typer.Option(help="The last position to deliver again; default: go on from there.", min=1),
    ] = None,
    json: Json = False,
    data_dir: DataDir = _HERE,
) -> None:
    """Deliver events again, each with the id that it had before."""
    body = {"after": after} if until is None else {"after": after, "until": until}
    _send(data_dir, f"{webhook}/replay", body, json=json)


def _send(data_dir: Path, what: str, body: dict[str, Any], *, json: bool) -> None:
    from interfaces.cli.webhooks.run import send_command

    with failing():
        send_command(data_dir, what, body, json=json)
