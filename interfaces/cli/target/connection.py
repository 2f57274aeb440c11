"""Finds the running Rollbook for a command: the one that is set, else the local one."""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx2
from msgspec import Struct

from interfaces.cli.errors import CommandFailed
from interfaces.cli.target.data_directory import DataDirectory, read
from interfaces.settings import ClientSettings, WrongSetting, load

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_TIMEOUT: Final = httpx2.Timeout(30.0, connect=5.0)


class NoRollbook(CommandFailed):
    """No Rollbook is set, and none runs here."""


class Connection(Struct, frozen=True):
    """`repr` leaves the token out."""

    url: str
    token: str

    def __repr__(self) -> str:
        return f"Connection(url={self.url!r})"

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine, where no proxy is used."""
        return urlsplit(self.url).hostname in _LOOPBACK

    def client(self, transport: httpx2.AsyncBaseTransport | None = None) -> httpx2.AsyncClient:
        """A client that authenticates itself."""
        return httpx2.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self.token}"},
            timeout=_TIMEOUT,
            trust_env=not self.is_local,
            transport=transport,
        )


def find_rollbook(data_directory: Path) -> Connection:
    """From `ROLLBOOK_URL` and `ROLLBOOK_TOKEN`, else the instance of this data directory.

    Raises `NoRollbook` or `WrongSetting`.
    """
    settings = load(ClientSettings)
    token = None if settings.token is None else settings.token.get_secret_value()
    if settings.url is not None:
        if token is None:
            raise WrongSetting("ROLLBOOK_TOKEN", "is not set, though ROLLBOOK_URL is")
        return Connection(settings.url, token)
    directory = DataDirectory(data_directory)
    try:
        instance = directory.instance()
        token = token or read(directory.admin_token_file)
    except OSError as error:
        raise NoRollbook(f"{data_directory} cannot be read: {error.strerror}") from None
    if instance is None or token is None:
        raise NoRollbook(
            f"no Rollbook runs on {data_directory}: start one with `rollbook up`, or set "
            "ROLLBOOK_URL and ROLLBOOK_TOKEN"
        )
    return Connection(instance.url, token)
