"""`rollbook up`: a whole Rollbook on this machine, from one directory."""

import asyncio
import shlex
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from structlog import get_logger

from application.failures import describe
from interfaces.cli.client.sign_in import make_link, user_name
from interfaces.cli.errors import CommandFailed
from interfaces.cli.server.listener import open_listener, web_address
from interfaces.cli.server.local_servers import LocalServers, reveal
from interfaces.cli.server.process import ApplicationProcess, name_of
from interfaces.cli.server.supervisor import Server, supervise
from interfaces.cli.target.connection import Connection
from interfaces.cli.target.data_directory import DataDirectory
from interfaces.logging import configure_logging
from interfaces.roles import EVERY_ROLE, Roles, in_order
from interfaces.settings import LocalSettings

_LINK_SECONDS: Final = 5.0

log = get_logger(__name__)


def up(
    settings: LocalSettings, *, host: str, port: int, data_dir: Path, split: bool = False
) -> None:
    """Run until SIGTERM, SIGINT or SIGHUP; `split` gives each role a process of its own.

    Raises `CommandFailed` or `EmbeddedServerError`, whose messages are one line for people.
    """
    configure_logging(settings.log_level)
    directory = DataDirectory(data_dir)
    directory.hold()
    with open_listener(host, port) as listener:
        address = web_address(host, listener)
        local = LocalServers(settings, directory)
        environment = local.urls | {
            "ROLLBOOK_MASTER_KEY": reveal(settings.master_key or directory.master_key()),
            "ROLLBOOK_ADMIN_TOKEN": reveal(settings.admin_token or directory.admin_token()),
        }
        servers = dict(local.embedded)
        for roles in processes(settings, split=split):
            its_listener = listener if "api" in roles else None
            servers[name_of(roles)] = ApplicationProcess(
                its_listener, environment, roles, directory.high_water_file.absolute()
            )

        async def ready() -> None:
            directory.announce(address)
            connection = Connection(address, environment["ROLLBOOK_ADMIN_TOKEN"])
            token_file = None if settings.admin_token else directory.admin_token_file
            link = await _first_link(connection)
            print(greeting(address, token_file, link, data_dir), flush=True)

        try:
            asyncio.run(_until_signalled(servers, ready))
        finally:
            directory.retract()
            directory.release()


async def _until_signalled(
    servers: dict[str, Server], ready: Callable[[], Awaitable[object]]
) -> None:
    stop = asyncio.Event()
    for asked in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(asked, stop.set)
    await supervise(servers, stop, ready=ready)


def processes(settings: LocalSettings, *, split: bool) -> list[Roles]:
    """The roles of each process, in the order in which they start."""
    roles = EVERY_ROLE if settings.amqp_url else EVERY_ROLE - {"relay"}
    return [frozenset({role}) for role in in_order(roles)] if split else [roles]


async def _first_link(connection: Connection) -> str | None:
    """A sign-in link for the user of this process; None if none comes within a few seconds."""
    try:
        async with asyncio.timeout(_LINK_SECONDS):
            return (await make_link(connection, user_name())).url
    except (TimeoutError, CommandFailed) as error:
        log.warning("no sign-in link", error=describe(error))
        return None


def greeting(address: str, token_file: Path | None, link: str | None, data_dir: Path) -> str:
    """The message for people once it runs."""
    if token_file:
        export = f"export ROLLBOOK_TOKEN=$(cat {shlex.quote(str(token_file))})"
    else:
        export = "export ROLLBOOK_TOKEN=...  # the ROLLBOOK_ADMIN_TOKEN that you set"
    new_link = f"rollbook signin --data-dir {shlex.quote(str(data_dir))}"
    return f"""
Rollbook runs at {address}

  Sign in   {link or new_link}
  Again     {new_link}
  Read      {address}/docs
  Token     {export}
  Try       curl -H "Authorization: Bearer $ROLLBOOK_TOKEN" {address}/v1/me
  Stop      Ctrl-C
"""
