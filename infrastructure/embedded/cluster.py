"""A Postgres cluster on disk: creates it completely or not at all, and gives the server command."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from infrastructure.embedded.account import Account
from infrastructure.embedded.binaries import Binaries
from infrastructure.embedded.errors import StartFailed
from infrastructure.embedded.process import environment

SUPERUSER: Final = "rollbook"

SETTINGS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "256MB",
    "max_connections": "100",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "cluster_name": "rollbook",
    # A statement may carry personal data: no statement, parameter or row goes into the log.
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",
}


def initialise(data: Path, binaries: Binaries, account: Account) -> None:
    """Create an empty cluster at `data`; an incomplete one of an interrupted start is deleted.

    Raises `StartFailed`.
    """
    draft = data.with_suffix(".new")
    shutil.rmtree(draft, ignore_errors=True)
    account.own(data.parent)
    built_in = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
    made = subprocess.run(
        [
            *account.prefix,
            str(binaries.initdb),
            f"--pgdata={draft}",
            f"--username={SUPERUSER}",
            "--auth=trust",  # only accounts that can enter the socket's directory can connect
            "--encoding=UTF8",
            "--data-checksums",
            "--no-instructions",
            *(built_in if binaries.major >= 17 else ("--locale=C.UTF-8",)),
        ],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    if made.returncode != 0:
        raise StartFailed("Postgres", data.parent, reason_in(made.stderr))
    draft.rename(data)
    folder = os.open(data.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def server_command(data: Path, socket: Path, binaries: Binaries, account: Account) -> list[str]:
    """The command that runs the server; its options override any file in `data`."""
    settings = SETTINGS | {"unix_socket_directories": f'"{socket}"'}
    if Path("/proc/self").exists():
        settings["recovery_init_sync_method"] = "syncfs"
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return [*account.prefix, str(binaries.postgres), "-D", str(data), *options]


def reason_in(output: str) -> str:
    """The last line with an error, else the last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "FATAL" in line or "error:" in line]
    return (errors or lines or [""])[-1]
