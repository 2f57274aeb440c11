"""The values of settings: what each must be, and the reason if it is something else.

Each check raises `ValueError`, whose message never holds the value: it may be a secret.
"""

import base64
import binascii
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from application.access.oidc import is_safe_address
from application.access.oidc_permissions import PermissionsClaim
from application.cache.ports import MAX_TTL
from application.reactions.sender import Sender

MIN_TOKEN_LENGTH: Final = 32
MASTER_KEY_BYTES: Final = 32
MAX_OIDC_NAME: Final = 255

_WEB_PORTS: Final = {"http": 80, "https": 443}


def _database_url(value: SecretStr) -> SecretStr:
    if _scheme(value) not in ("postgresql", "postgres"):
        raise ValueError("must begin with postgresql://")
    return value


def _redis_url(value: SecretStr) -> SecretStr:
    if _scheme(value) not in ("redis", "rediss", "unix"):
        raise ValueError("must begin with redis://, rediss:// or unix://")
    return value


def _amqp_url(value: SecretStr) -> SecretStr:
    if _scheme(value) not in ("amqp", "amqps"):
        raise ValueError("must begin with amqp:// or amqps://")
    return value


def _smtp_url(value: SecretStr) -> SecretStr:
    if _scheme(value) not in ("smtp", "smtps"):
        raise ValueError("must begin with smtp:// or smtps://")
    parts = urlsplit(value.get_secret_value())
    try:
        is_server = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_server = False
    if not is_server or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must be like smtp://user:password@mail.example.org:587")
    if bool(parts.username) != bool(parts.password):
        raise ValueError("must have a user and a password, or neither")
    return value


def _smtp_from(value: str) -> str:
    Sender.parse(value)
    return value


def _scheme(url: SecretStr) -> str:
    try:
        return urlsplit(url.get_secret_value()).scheme
    except ValueError:
        # The standard library's message repeats the value.
        raise ValueError("is not a URL") from None


def master_key_list(text: str) -> str:
    """The list without its spaces. Raises `ValueError`, whose message holds no key."""
    keys = [key.strip() for key in text.split(",")]
    for key in keys:
        try:
            decoded = base64.b64decode(key, validate=True)
        except binascii.Error:
            decoded = b""
        if len(decoded) != MASTER_KEY_BYTES:
            raise ValueError(
                "must be a comma-separated list of keys of 32 bytes in base64, newest first"
            )
    if len(set(keys)) != len(keys):
        raise ValueError("holds the same key twice")
    return ",".join(keys)


def _master_keys(value: SecretStr) -> SecretStr:
    return SecretStr(master_key_list(value.get_secret_value()))


def _token(value: SecretStr) -> SecretStr:
    token = value.get_secret_value()
    if len(token) < MIN_TOKEN_LENGTH:
        raise ValueError("must have 32 characters or more")
    if not _is_visible_ascii(token):
        raise ValueError("must be visible ASCII without spaces: it is sent in a header")
    return value


def _web_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise ValueError("must be an address like https://rollbook.example.org")
    return value.rstrip("/")


def origin_list(text: str) -> list[str]:
    """The origins of a comma-separated list, as browsers send them. Raises `ValueError`."""
    origins = _items(text)
    if not all(map(_is_origin, origins)):
        raise ValueError(
            "must be a comma-separated list of origins like https://app.example.org, in lower case "
            "and without a path"
        )
    return origins


def _is_origin(text: str) -> bool:
    """Whether it is scheme, host and port, if that is not the scheme's, and nothing else."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    if host is None or parts.scheme not in _WEB_PORTS or port == _WEB_PORTS[parts.scheme]:
        return False
    host = f"[{host}]" if ":" in host else host
    written = f"{parts.scheme}://{host}" if port is None else f"{parts.scheme}://{host}:{port}"
    return text == written and text.isascii()


def network_list(text: str) -> list[IPv4Network | IPv6Network]:
    """The networks of a comma-separated list; an address is one alone. Raises `ValueError`."""
    try:
        return [ip_network(network) for network in _items(text)]
    except ValueError:
        raise ValueError(
            "must be a comma-separated list of addresses and networks, like 10.0.0.0/8"
        ) from None


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",")] if text else []


def _allowed_origins(value: str) -> str:
    origin_list(value)
    return value


def _trusted_proxies(value: str) -> str:
    network_list(value)
    return value


def _page_url(value: str) -> str:
    must_be = "must be an address like https://example.org/welcome"
    try:
        parts = urlsplit(value)
    except ValueError:
        raise ValueError(must_be) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not value.isprintable():
        raise ValueError(must_be)
    return value


def _oidc_issuer(value: str) -> str:
    """As it is: the issuer of a token must equal it, to the last slash."""
    if not is_safe_address(value) or any(character in value for character in "?#@"):
        raise ValueError("must be like https://login.example.org; http only on this machine")
    return value


def _oidc_name(value: str) -> str:
    if not 1 <= len(value) <= MAX_OIDC_NAME or not _is_visible_ascii(value):
        raise ValueError(f"must be 1 to {MAX_OIDC_NAME} visible ASCII characters")
    return value


def _oidc_client_secret(value: SecretStr) -> SecretStr:
    if not _is_visible_ascii(value.get_secret_value()):
        raise ValueError("must be visible ASCII without spaces: it is sent in a header")
    return value


def _oidc_permissions(value: str) -> str:
    PermissionsClaim.parse(value)
    return value


def _is_visible_ascii(text: str) -> bool:
    return all("!" <= character <= "~" for character in text)


DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
AmqpUrl = Annotated[SecretStr, AfterValidator(_amqp_url)]
AllowedOrigins = Annotated[str, AfterValidator(_allowed_origins)]
TrustedProxies = Annotated[str, AfterValidator(_trusted_proxies)]
RateLimit = Annotated[int, Field(ge=0, le=1_000_000)]
CacheTtl = Annotated[int, Field(ge=1, le=MAX_TTL)]
MasterKeys = Annotated[SecretStr, AfterValidator(_master_keys)]
AdminToken = Annotated[SecretStr, AfterValidator(_token)]
WebUrl = Annotated[str, AfterValidator(_web_url)]
SmtpUrl = Annotated[SecretStr, AfterValidator(_smtp_url)]
SmtpFrom = Annotated[str, AfterValidator(_smtp_from)]
PageUrl = Annotated[str, AfterValidator(_page_url)]
OidcIssuer = Annotated[str, AfterValidator(_oidc_issuer)]
OidcName = Annotated[str, AfterValidator(_oidc_name)]
OidcClientSecret = Annotated[SecretStr, AfterValidator(_oidc_client_secret)]
OidcPermissions = Annotated[str, AfterValidator(_oidc_permissions)]
