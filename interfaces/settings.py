"""The settings: read and checked once at the start, then passed on as values."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from pydantic import DirectoryPath, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from application.access.limits import CALLER_PER_SECOND
from interfaces.roles import Role, Roles, in_order
from interfaces.setting_values import (
    AdminToken,
    AllowedOrigins,
    AmqpUrl,
    CacheTtl,
    DatabaseUrl,
    MasterKeys,
    OidcClientSecret,
    OidcIssuer,
    OidcName,
    OidcPermissions,
    PageUrl,
    RateLimit,
    RedisUrl,
    SmtpFrom,
    SmtpUrl,
    TrustedProxies,
    WebUrl,
)

PREFIX: Final = "ROLLBOOK_"

RoleSecret = Literal["amqp_url", "master_key", "admin_token"]
NEEDED: Final[Mapping[Role, Sequence[RoleSecret]]] = {
    "projector": ["master_key"],
    "relay": ["amqp_url"],  # the events that it publishes stay sealed
    "worker": ["master_key"],
    "api": ["master_key", "admin_token"],
}

# An optional setting that needs another one as soon as it is set.
TOGETHER: Final[Mapping[str, str]] = {
    "smtp_url": "smtp_from",
    "oidc_issuer": "oidc_audience",
    "oidc_audience": "oidc_issuer",
    "oidc_client_id": "oidc_issuer",
    "oidc_client_secret": "oidc_client_id",
    "oidc_permissions_claim": "oidc_issuer",
}

LogLevel = Literal["debug", "info", "warning", "error"]


class WrongSetting(Exception):
    """A setting is missing or wrong; the message is one line that names it."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"{name}: {reason}")


class FromEnvironment(BaseSettings):
    """Settings from the environment, then from `.env`; an empty value counts as not set.

    A secret `NAME` may also be in a file that `NAME_FILE` names; if both are set, `NAME` wins.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        sources = [init_settings]
        for source in (env_settings, dotenv_settings):
            sources += [source, _SecretFiles(settings_cls, source)]
        return tuple(sources)


class _ForServers(FromEnvironment):
    redis_url: RedisUrl | None = None
    amqp_url: AmqpUrl | None = None
    master_key: MasterKeys | None = None
    admin_token: AdminToken | None = None
    public_url: WebUrl | None = None
    oidc_issuer: OidcIssuer | None = None
    oidc_audience: OidcName | None = None
    oidc_client_id: OidcName | None = None
    oidc_client_secret: OidcClientSecret | None = None
    oidc_permissions_claim: OidcPermissions | None = None
    allowed_origins: AllowedOrigins | None = None
    trusted_proxies: TrustedProxies | None = None
    rate_limit: RateLimit = CALLER_PER_SECOND
    cache_ttl: CacheTtl = 3600
    smtp_url: SmtpUrl | None = None
    smtp_from: SmtpFrom | None = None
    templates: DirectoryPath | None = None
    welcome_url: PageUrl | None = None
    welcome_imports: bool = False
    allow_unsafe_targets: bool = False
    log_level: LogLevel = "info"


class Settings(_ForServers):
    """The settings of an application process; its roles decide which secrets it needs."""

    database_url: DatabaseUrl

    def need(self, secret: RoleSecret) -> str:
        """A secret that a role needs. Raises `WrongSetting` if it is not set."""
        value: SecretStr | None = getattr(self, secret)
        if value is None:
            raise _missing(Settings, secret)
        return value.get_secret_value()


class LocalSettings(_ForServers):
    """The settings of `rollbook up`, which creates what is missing."""

    database_url: DatabaseUrl | None = None
    postgres_bin: DirectoryPath | None = None


class ClientSettings(FromEnvironment):
    """How commands find a running Rollbook that is not the local one."""

    url: WebUrl | None = None
    token: SecretStr | None = None


class MigrationSettings(FromEnvironment):
    """The settings of `rollbook migrate`."""

    database_url: DatabaseUrl
    log_level: LogLevel = "info"


AnySettings = TypeVar("AnySettings", bound=FromEnvironment)


def load(kind: type[AnySettings], *needed: str) -> AnySettings:
    """Read these settings; `needed` names optional ones that must be set too.

    Raises `WrongSetting` for the first that is missing or wrong.
    """
    try:
        settings = kind()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = str(first["loc"][0])
        if first["type"] == "missing":
            raise _missing(kind, field) from None
        raise WrongSetting(variable(field), first["msg"].removeprefix("Value error, ")) from None
    with_others = [other for one, other in TOGETHER.items() if getattr(settings, one, None)]
    for field in (*needed, *with_others):
        if getattr(settings, field) is None:
            raise _missing(kind, field)
    return settings


def load_for(roles: Roles) -> Settings:
    """The settings of a process with these roles. Raises `WrongSetting`, see `load`."""
    return load(Settings, *(secret for role in in_order(roles) for secret in NEEDED[role]))


def variable(field: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + field.upper()


def is_secret(field: FieldInfo) -> bool:
    """Whether the setting may also be in a file."""
    return "SecretStr" in str(field.annotation)


def _missing(kind: type[FromEnvironment], field: str) -> WrongSetting:
    name = variable(field)
    also = f" (or {name}_FILE)" if is_secret(kind.model_fields[field]) else ""
    return WrongSetting(name, f"is not set{also}")


class _SecretFiles(PydanticBaseSettingsSource):
    """Reads secrets from the files that the `NAME_FILE` variables of another source name."""

    def __init__(self, settings: type[BaseSettings], beside: PydanticBaseSettingsSource) -> None:
        super().__init__(settings)
        known = isinstance(beside, EnvSettingsSource)
        self._values: Mapping[str, str | None] = beside.env_vars if known else {}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        name = variable(field_name) + "_FILE"
        path = self._values.get(name.lower())
        if path is None or not is_secret(field):
            return None, field_name, False
        try:
            return Path(path).read_text().strip(), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is not text"
            raise WrongSetting(name, f"{path}: {reason}") from None

    def __call__(self) -> dict[str, Any]:
        fields = self.settings_cls.model_fields
        values = {name: self.get_field_value(field, name)[0] for name, field in fields.items()}
        return {name: value for name, value in values.items() if value}
