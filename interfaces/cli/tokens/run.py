"""`rollbook tokens`: create, list, rotate and revoke tokens."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import typer
from msgspec import Struct

from application.timestamps import timestamp
from interfaces.cli.client.admin import print_answer, print_list, print_resource
from interfaces.cli.client.calls import send_admin_command
from interfaces.cli.client.client import Remote
from interfaces.cli.errors import CommandFailed
from interfaces.cli.target.connection import find_rollbook

_TOKENS: Final = "/v1/tokens"
_COLUMNS: Final = ("id", "name", "permissions", "expires_at", "last_used_at", "created_by")


class SecretLost(CommandFailed):
    """The answer with the secret was lost on its way: it is not shown again."""


class NewToken(Struct, frozen=True, kw_only=True):
    """What a token may do: all of a preset, or the permissions. `expires` None: never."""

    name: str
    preset: str | None
    permissions: Sequence[str]
    expires: timedelta | None


def create_token(data_directory: Path, asked: NewToken, *, json: bool) -> None:
    """Print the new token. Raises what `find_rollbook` does, `Refused` and `SecretLost`."""
    expires_at = None if asked.expires is None else timestamp(datetime.now(UTC) + asked.expires)
    body: dict[str, Any] = {
        "name": asked.name,
        "preset": asked.preset,
        "permissions": list(asked.permissions) or None,
        "expires_at": expires_at,
    }
    given = {name: value for name, value in body.items() if value is not None}
    _print_secret(data_directory, _TOKENS, given, json=json)


def list_tokens(data_directory: Path, *, json: bool) -> None:
    """A table of all tokens. Raises what `find_rollbook` does, and `Refused`."""
    print_list(data_directory, _TOKENS, _COLUMNS, json=json)


def rotate_token(data_directory: Path, token: str, overlap: timedelta, *, json: bool) -> None:
    """Print the token with its new secret. Raises as `create_token`."""
    body = {"overlap_seconds": int(overlap.total_seconds())}
    _print_secret(data_directory, f"{_TOKENS}/{quote(token, safe='')}/rotate", body, json=json)


def revoke_token(data_directory: Path, token: str, *, json: bool) -> None:
    """Raises what `find_rollbook` does, and `Refused`."""
    asyncio.run(_revoke(data_directory, token))
    print_resource({"id": token, "status": "revoked"}, json=json)


def _print_secret(data_directory: Path, path: str, body: dict[str, Any], *, json: bool) -> None:
    answer = print_answer(data_directory, path, body, json=json)
    if answer.get("token") is None:
        # A repeat of the request got the answer, which no longer has the secret.
        raise SecretLost(
            f"the secret was lost with an answer; get another: rollbook tokens rotate {answer['id']}"
        )
    if not json:
        typer.echo("Keep the token now: it is not shown again.", err=True)


async def _revoke(data_directory: Path, token: str) -> None:
    async with find_rollbook(data_directory).client() as client:
        path = f"{_TOKENS}/{quote(token, safe='')}"
        await send_admin_command(Remote(client), path, {}, method="DELETE")
