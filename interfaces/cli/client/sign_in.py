"""`rollbook signin`: a one-use link that signs a person in to the console."""

import asyncio
import getpass
from pathlib import Path

import msgspec
import typer
from msgspec import Struct

from application.access.links import local_name_from
from interfaces.cli.client.calls import Refused, send_admin_command
from interfaces.cli.client.client import Remote, Stopped
from interfaces.cli.target.connection import Connection, find_rollbook

_PATH = "/auth/links"


class Link(Struct, frozen=True):
    """`url` is None if the answer was lost: it is sent only once. `repr` leaves it out."""

    url: str | None
    expires_at: str

    def __repr__(self) -> str:
        return f"Link(expires_at={self.expires_at!r})"


def print_link(data_directory: Path, name: str | None, *, json: bool) -> None:
    """Print a link for `name`, by default the user of this process.

    Raises what `find_rollbook` does, and `Refused`.
    """
    link = asyncio.run(make_link(find_rollbook(data_directory), name or user_name()))
    if link.url is None:
        raise Refused("the answer with the link was lost: run the command again")
    if json:
        typer.echo(msgspec.json.encode(link))
        return
    typer.echo(link.url)
    typer.echo(f"It signs in once, until {link.expires_at}.", err=True)


async def make_link(connection: Connection, name: str) -> Link:
    """A new link to the console of this Rollbook. Raises `Refused`."""
    async with connection.client() as client:
        reply = await send_admin_command(Remote(client), _PATH, {"name": name})
        try:
            return reply.read(Link)
        except Stopped as reason:
            raise Refused(str(reason)) from None


def user_name() -> str:
    """The name of the operating system's user, made valid for a session."""
    try:
        return local_name_from(getpass.getuser())
    except (KeyError, OSError):
        # The user id of this process has no name.
        return local_name_from(None)
