"""`rollbook reactions`: list them and their parked users; switch or repair one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from interfaces.cli.client.admin import print_answer, print_list

_STATUS: Final = ("name", "state", "reason", "queued", "parked", "lag")
_PARKED: Final = ("user", "type", "position", "error", "tries", "waiting", "parked_at")


def list_reactions(data_directory: Path, *, json: bool) -> None:
    """A table of all reactions. Raises what `find_rollbook` does, and `Refused`."""
    print_list(data_directory, "/v1/reactions", _STATUS, json=json)


def list_parked(data_directory: Path, name: str, *, json: bool) -> None:
    """A table of the users that are parked for a reaction."""
    print_list(data_directory, f"{_path(name)}/parked", _PARKED, json=json)


def admin_command(
    data_directory: Path, name: str, what: str, body: Mapping[str, Any], *, json: bool
) -> None:
    """Run a command on a reaction, such as `enable` or `parked/<id>/retry`."""
    print_answer(data_directory, f"{_path(name)}/{what}", body, json=json)


def _path(name: str) -> str:
    return f"/v1/reactions/{quote(name, safe='')}"
