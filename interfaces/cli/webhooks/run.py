"""`rollbook webhooks`: list webhooks, and send commands to them."""

from pathlib import Path
from typing import Final
from urllib.parse import quote

import typer

from interfaces.cli.client.admin import print_answer, print_list
from interfaces.cli.client.calls import Json

_WEBHOOKS: Final = "/v1/webhooks"
_COLUMNS: Final = ("id", "url", "status", "position", "lag", "parked", "last_success_at")


def list_webhooks(data_directory: Path, *, json: bool) -> None:
    """A table of all webhooks. Raises what `find_rollbook` does, and `Refused`."""
    print_list(data_directory, _WEBHOOKS, _COLUMNS, json=json)


def send_command(data_directory: Path, what: str, body: Json, *, json: bool) -> None:
    """Create a webhook (`what` is empty), or send a command such as `<id>/pause`.

    Prints the webhook after it. Raises what `find_rollbook` does, and `Refused`.
    """
    path = f"{_WEBHOOKS}/{quote(what)}" if what else _WEBHOOKS
    print_answer(data_directory, path, body, json=json)
    if what == "" and not json:
        typer.echo("Keep the secret now: it is not shown again.", err=True)
