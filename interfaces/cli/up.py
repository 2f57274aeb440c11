"""`rollbook up`: a whole Rollbook on this machine, from one directory."""

import asyncio
import shlex
import signal
from collections.abc import Callable
from pathlib import Path

from pydantic import SecretStr

from infrastructure.embedded.postgres import EmbeddedPostgres
from interfaces.cli.application import ApplicationProcess
from interfaces.cli.data_directory import DataDirectory
from interfaces.cli.listener import open_listener, web_address
from interfaces.cli.supervisor import Server, supervise
from interfaces.logging import configure_logging
from interfaces.settings import LocalSettings


def up(settings: LocalSettings, *, host: str, port: int, data_dir: Path) -> None:
    """Run until SIGTERM, SIGINT or SIGHUP.

    Raises `CommandFailed` or `EmbeddedServerError`, whose messages are one line for people.
    """
    configure_logging(settings.log_level)
    directory = DataDirectory(data_dir)
    directory.hold()
    with open_listener(host, port) as listener:
        address = web_address(host, listener)
        servers: dict[str, Server] = {}
        database = reveal(settings.database_url)
        if database is None:
            postgres = EmbeddedPostgres(directory.postgres, binaries=settings.postgres_bin)
            servers["postgres"] = postgres
            database = postgres.url
        environment = {
            "ROLLBOOK_DATABASE_URL": database,
            "ROLLBOOK_MASTER_KEY": reveal(settings.master_key) or directory.master_key(),
            "ROLLBOOK_ADMIN_TOKEN": reveal(settings.admin_token) or directory.admin_token(),
        }
        servers["application"] = ApplicationProcess(listener, environment)

        def ready() -> None:
            directory.announce(address)
            kept = None if settings.admin_token else directory.admin_token_file
            print(greeting(address, kept), flush=True)

        try:
            asyncio.run(_until_signalled(servers, ready))
        finally:
            directory.retract()
            directory.release()


async def _until_signalled(servers: dict[str, Server], ready: Callable[[], None]) -> None:
    stop = asyncio.Event()
    for asked in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(asked, stop.set)
    await supervise(servers, stop, ready=ready)


def greeting(address: str, token_file: Path | None) -> str:
    """What a person reads once it runs."""
    if token_file:
        sign_in = f"export ROLLBOOK_TOKEN=$(cat {shlex.quote(str(token_file))})"
    else:
        sign_in = "export ROLLBOOK_TOKEN=...  # the ROLLBOOK_ADMIN_TOKEN that you set"
    return f"""
Rollbook runs at {address}

  Read      {address}/docs
  Sign in   {sign_in}
  Try       curl -H "Authorization: Bearer $ROLLBOOK_TOKEN" {address}/v1/me
  Stop      Ctrl-C
"""


def reveal(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
