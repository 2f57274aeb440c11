"""Finds the database and master keys for a command: those that are set, else the local ones."""

from pathlib import Path

from infrastructure.embedded.postgres import EmbeddedPostgres
from infrastructure.keys import MasterKeys
from interfaces.cli.target.connection import NoRollbook
from interfaces.cli.target.data_directory import DataDirectory
from interfaces.settings import LocalSettings, WrongSetting, load


def find_database(data_directory: Path) -> str:
    """The URL in `ROLLBOOK_DATABASE_URL`, else of the Rollbook that runs on this data directory.

    Raises `NoRollbook` or `WrongSetting`.
    """
    settings = load(LocalSettings)
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    directory = DataDirectory(data_directory)
    try:
        instance = directory.instance()
    except OSError as error:
        raise NoRollbook(f"{data_directory} cannot be read: {error.strerror}") from None
    if instance is None or not directory.postgres.exists():
        raise NoRollbook(
            f"no Rollbook with a database of its own runs on {data_directory}: start one with "
            "`rollbook up`, or set ROLLBOOK_DATABASE_URL"
        )
    return EmbeddedPostgres(directory.postgres).url


def find_master_keys(data_directory: Path) -> MasterKeys:
    """The keys in `ROLLBOOK_MASTER_KEY`, else those that are stored in this data directory.

    Raises `WrongSetting`, or `MasterKeyUnreadable` for the stored ones.
    """
    settings = load(LocalSettings)
    if settings.master_key is not None:
        return MasterKeys.parse(settings.master_key.get_secret_value())
    stored = DataDirectory(data_directory).stored_master_key()
    if stored is None:
        raise WrongSetting("ROLLBOOK_MASTER_KEY", f"is not set, and {data_directory} has none")
    return MasterKeys.parse(stored)
