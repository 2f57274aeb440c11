"""The servers of a local Rollbook: those that are set, and the embedded ones."""

import structlog
from pydantic import SecretStr

from infrastructure.embedded.errors import NoServerFound
from infrastructure.embedded.postgres import EmbeddedPostgres
from infrastructure.embedded.valkey import EmbeddedValkey
from interfaces.cli.server.supervisor import Server
from interfaces.cli.target.data_directory import DataDirectory
from interfaces.settings import LocalSettings, variable

log = structlog.get_logger()


class LocalServers:
    """`embedded` are started in that order; `urls` has the URL of each server by setting."""

    def __init__(self, settings: LocalSettings, directory: DataDirectory) -> None:
        self.embedded: dict[str, Server] = {}
        self.urls: dict[str, str] = {}
        self._set_url("database_url", settings.database_url or self._postgres(settings, directory))
        self._set_url("redis_url", settings.redis_url or self._valkey(directory))
        self._set_url("amqp_url", settings.amqp_url)

    def _set_url(self, setting: str, url: SecretStr | str | None) -> None:
        if url is not None:
            self.urls[variable(setting)] = reveal(url)

    def _postgres(self, settings: LocalSettings, directory: DataDirectory) -> str:
        postgres = EmbeddedPostgres(directory.postgres, binaries=settings.postgres_bin)
        self.embedded["postgres"] = postgres
        return postgres.url

    def _valkey(self, directory: DataDirectory) -> str | None:
        """None if it is not installed: all that it holds is also in Postgres."""
        try:
            valkey = EmbeddedValkey(directory.valkey)
        except NoServerFound as error:
            log.warning("no cache", reason=str(error))
            return None
        self.embedded["valkey"] = valkey
        return valkey.url


def reveal(value: SecretStr | str) -> str:
    return value if isinstance(value, str) else value.get_secret_value()
