"""The account that a server runs under: ours, or another one if we are root."""

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

# The kernel sends SIGINT to the server when the thread that started it ends, for any reason.
DIE_WITH_PARENT: Final = ("setpriv", "--pdeathsig", "INT", "--")

WITHOUT_CAPABILITIES: Final = ("setpriv", "--ambient-caps=-all", "--inh-caps=-all", "--")


class Account(Struct, frozen=True):
    """The prefix that makes a command run as this account, and the owner of its files."""

    prefix: tuple[str, ...]
    uid: int
    gid: int

    def own(self, path: Path) -> None:
        """Make this account the owner of `path` and everything in it, unless it is already."""
        change_owner(path, self.uid, self.gid)

    def can_write(self, directory: Path) -> bool:
        """Whether a process of this account can create files in the directory."""
        return succeeds(*self.prefix, "sh", "-c", 'test -w "$1"', "sh", str(directory))

    def can_run(self, program: Path) -> bool:
        """Whether it can run this without root's capabilities, which `access(2)` ignores."""
        return succeeds(*self.prefix, *WITHOUT_CAPABILITIES, str(program), "--version")


def account_for(directory: Path) -> Account:
    """The first account that can write to `directory`, found by trying.

    As root: the owner of the parent folder, if that is an ordinary user.
    Raises `NoAccount`.
    """
    if os.geteuid() != 0:
        return current_account()
    owner = owner_of(directory.parent)
    if owner[0] != 0:
        account = Account(setpriv_prefix(*owner), *owner)
        account.own(directory)
        if account.can_write(directory):
            return account
        raise NoAccount(directory)
    for account in unprivileged_accounts():
        if account.can_write(directory):
            return account
    raise NoAccount(directory)


def current_account() -> Account:
    """Our own account; the kernel ends the server when we end, if `setpriv` is installed."""
    prefix = DIE_WITH_PARENT if shutil.which("setpriv") else ()
    return Account(prefix, os.geteuid(), os.getegid())


def unprivileged_accounts() -> Iterator[Account]:
    """First a user namespace, which needs no account and changes no file; then real accounts."""
    yield Account((*USER_NAMESPACE, *DIE_WITH_PARENT), 0, 0)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        # It keeps one of root's capabilities, to pass parent folders that only root may enter (a
        # clone in /root). So these folders need not be opened to everyone.
        prefix = setpriv_prefix(entry.pw_uid, entry.pw_gid, "+dac_override")
        yield Account(prefix, entry.pw_uid, entry.pw_gid)


def setpriv_prefix(user: int, group: int, *added: str) -> tuple[str, ...]:
    """The prefix that runs a command as this user and group, with only the `added` capabilities."""
    capabilities = ",".join(("-all", *added))
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
    """Whether the command can be run and exits with 0 within ten seconds."""
    try:
        return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False
