"""The identity a server runs under: ours or, since Postgres refuses root, one beside it."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct

from infrastructure.embedded.errors import NoAccount

NOBODY: Final = 65534

USER_NAMESPACE: Final = ("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--")

# The kernel interrupts the server when the thread that started it ends, whatever ended it.
DIE_WITH_PARENT: Final = ("setpriv", "--pdeathsig", "INT", "--")


class Account(Struct, frozen=True):
    """What to put before a command so that it runs as this account, and who then owns its files."""

    prefix: tuple[str, ...]
    uid: int
    gid: int

    def own(self, path: Path) -> None:
        """Make `path` with all in it this account's, where it is not yet."""
        status = path.stat()
        if (status.st_uid, status.st_gid) == (self.uid, self.gid):
            return
        for folder, _, files in os.walk(path):
            for name in files:
                os.chown(Path(folder, name), self.uid, self.gid, follow_symlinks=False)
            os.chown(folder, self.uid, self.gid, follow_symlinks=False)


def account_for(directory: Path, program: Path) -> Account:
    """The first identity that can run `program` and write to `directory`, found by trying.

    Raises `NoAccount`.
    """
    if os.geteuid() != 0:
        return bound_to_us()
    for account in accounts_beside_root():
        if works(account, directory, program):
            return account
    raise NoAccount(directory)


def bound_to_us() -> Account:
    """Our own identity; the kernel ends the server with us where it can be told to."""
    bound = DIE_WITH_PARENT if shutil.which("setpriv") else ()
    return Account(bound, os.geteuid(), os.getegid())


def accounts_beside_root() -> Iterator[Account]:
    """A user namespace needs no account and changes no file; a real account is second best."""
    yield Account((*USER_NAMESPACE, *DIE_WITH_PARENT), 0, 0)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        # It keeps one of root's powers, to pass folders on the way that only root may enter
        # (a clone in /root): opening them to everyone, or a copy of the programs, is not needed.
        drop = (
            f"--reuid={entry.pw_uid}",
            f"--regid={entry.pw_gid}",
            "--clear-groups",
            "--inh-caps=-all,+dac_override",
            "--ambient-caps=-all,+dac_override",
        )
        yield Account(("setpriv", *drop, *DIE_WITH_PARENT[1:]), entry.pw_uid, entry.pw_gid)


def works(account: Account, directory: Path, program: Path) -> bool:
    """Whether a process of that account can write to the directory and run the program."""
    trial = 'test -w "$1" && exec "$2" --version'
    command = [*account.prefix, "sh", "-c", trial, "sh", str(directory), str(program)]
    try:
        return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False
