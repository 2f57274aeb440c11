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
from infrastructure.embedded.ownership import change_owner, owner_of

NOBODY: Final = 65534

USER_NAMESPACE: Final = ("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--")

# The kernel interrupts the server when the thread that started it ends, whatever ended it.
DIE_WITH_PARENT: Final = ("setpriv", "--pdeathsig", "INT", "--")

WITHOUT_POWERS: Final = ("setpriv", "--ambient-caps=-all", "--inh-caps=-all", "--")


class Account(Struct, frozen=True):
    """What to put before a command so that it runs as this account, and who then owns its files."""

    prefix: tuple[str, ...]
    uid: int
    gid: int

    def own(self, path: Path) -> None:
        """Make `path` with all in it this account's, where it is not yet."""
        change_owner(path, self.uid, self.gid)

    def can_write(self, directory: Path) -> bool:
        """Whether a process of this account can make files there."""
        return succeeds(*self.prefix, "sh", "-c", 'test -w "$1"', "sh", str(directory))

    def can_run(self, program: Path) -> bool:
        """Whether it could also without any power of root's: initdb asks the kernel just that."""
        return succeeds(*self.prefix, *WITHOUT_POWERS, str(program), "--version")


def account_for(directory: Path) -> Account:
    """The first identity that can write to `directory`, found by trying.

    As root: the owner of the folder that it lies in, where that is an ordinary user.
    Raises `NoAccount`.
    """
    if os.geteuid() != 0:
        return bound_to_us()
    owner = owner_of(directory.parent)
    if owner[0] != 0:
        account = Account(switched_to(*owner), *owner)
        account.own(directory)
        if account.can_write(directory):
            return account
        raise NoAccount(directory)
    for account in accounts_beside_root():
        if account.can_write(directory):
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
        # It keeps one of root's powers, to pass folders on the way to its data that only root may
        # enter (a clone in /root): opening them to everyone is not needed.
        power = switched_to(entry.pw_uid, entry.pw_gid, "+dac_override")
        yield Account(power, entry.pw_uid, entry.pw_gid)


def switched_to(user: int, group: int, *powers: str) -> tuple[str, ...]:
    """What runs a command as that user and group, with these of root's powers and no others."""
    capabilities = ",".join(("-all", *powers))
    return (
        "setpriv",
        f"--reuid={user}",
        f"--regid={group}",
        "--clear-groups",
        f"--inh-caps={capabilities}",
        f"--ambient-caps={capabilities}",
        *DIE_WITH_PARENT[1:],
    )


def succeeds(*command: str) -> bool:
    """Whether the command can be run, and ends with 0 within ten seconds."""
    try:
        return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False
