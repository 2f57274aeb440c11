"""Settings come from the environment, `.env` or files, and a wrong one is named in one line."""

import base64
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from interfaces.roles import parse_roles
from interfaces.setting_values import network_list, origin_list
from interfaces.settings import (
    ClientSettings,
    FromEnvironment,
    LocalSettings,
    MigrationSettings,
    RoleSecret,
    Settings,
    WrongSetting,
    is_secret,
    load,
    load_for,
    variable,
)

URL = "postgresql://rollbook@db/rollbook"
REDIS = "rediss://rollbook:secret@cache:6380/0"
SMTP = "smtps://rollbook:secret@mail"
AMQP = "amqps://rollbook:secret@bus/rollbook"
TOKEN = "t" * 32
KEY = base64.b64encode(bytes(32)).decode()
OTHER_KEY = base64.b64encode(bytes([1] * 32)).decode()

Setter = Callable[[str, str], None]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for kind in FromEnvironment.__subclasses__():
        for field in kind.model_fields:
            monkeypatch.delenv(variable(field), raising=False)
            monkeypatch.delenv(f"{variable(field)}_FILE", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def set_(monkeypatch: pytest.MonkeyPatch) -> Setter:
    return monkeypatch.setenv


@pytest.fixture
def complete(set_: Setter) -> None:
    set_("ROLLBOOK_DATABASE_URL", URL)
    set_("ROLLBOOK_MASTER_KEY", KEY)
    set_("ROLLBOOK_ADMIN_TOKEN", TOKEN)


@pytest.mark.usefixtures("complete")
def test_given_settings_are_read_and_the_rest_have_defaults() -> None:
    settings = load(Settings)
    assert settings.database_url.get_secret_value() == URL
    assert settings.need("master_key") == KEY
    assert settings.need("admin_token") == TOKEN
    assert settings.redis_url is None
    assert settings.amqp_url is None
    assert settings.cache_ttl == 3600
    assert settings.public_url is None
    assert settings.log_level == "info"
    assert settings.smtp_url is None
    assert settings.welcome_imports is False


@pytest.mark.parametrize(
    ("roles", "needed"),
    [
        ("api", ["master_key", "admin_token"]),
        ("projector", ["master_key"]),
        ("worker", ["master_key"]),
        ("relay", ["amqp_url"]),
        ("relay,projector,api,worker", ["master_key", "amqp_url", "admin_token"]),
    ],
)
def test_each_setting_that_a_role_needs_is_named_in_turn(
    set_: Setter, roles: str, needed: list[RoleSecret]
) -> None:
    values = {"master_key": KEY, "admin_token": TOKEN, "amqp_url": AMQP}
    for field, value in (("database_url", URL), *((field, values[field]) for field in needed)):
        with pytest.raises(WrongSetting) as wrong:
            load_for(parse_roles(roles))
        name = variable(field)
        assert str(wrong.value) == f"{name}: is not set (or {name}_FILE)"
        set_(name, value)
    settings = load_for(parse_roles(roles))
    assert [settings.need(field) for field in needed] == [values[field] for field in needed]


def test_a_missing_secret_is_named_when_it_is_needed_later(set_: Setter) -> None:
    set_("ROLLBOOK_DATABASE_URL", URL)
    with pytest.raises(WrongSetting, match="ROLLBOOK_MASTER_KEY: is not set"):
        load(Settings).need("master_key")


@pytest.mark.usefixtures("complete")
@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("ROLLBOOK_DATABASE_URL", "mysql://db", "must begin with postgresql://"),
        ("ROLLBOOK_REDIS_URL", "http://cache", "must begin with redis://"),
        ("ROLLBOOK_AMQP_URL", "redis://bus", "must begin with amqp://"),
        ("ROLLBOOK_CACHE_TTL", "0", "greater than or equal to 1"),
        ("ROLLBOOK_CACHE_TTL", "an hour", "valid integer"),
        ("ROLLBOOK_ADMIN_TOKEN", "t" * 31, "must have 32 characters or more"),
        ("ROLLBOOK_ADMIN_TOKEN", "with space" * 4, "visible ASCII"),
        ("ROLLBOOK_MASTER_KEY", "c2hvcnQ=", "32 bytes in base64"),
        ("ROLLBOOK_MASTER_KEY", "no base64!", "32 bytes in base64"),
        ("ROLLBOOK_MASTER_KEY", f"{KEY},", "32 bytes in base64"),
        ("ROLLBOOK_MASTER_KEY", f"{KEY},{KEY}", "the same key twice"),
        ("ROLLBOOK_PUBLIC_URL", "grace.example.org", "must be an address"),
        *(
            ("ROLLBOOK_ALLOWED_ORIGINS", wrong, "must be a comma-separated list of origins")
            for wrong in (
                "*",
                "other.example.org",
                "https://app.example.org/",
                "https://App.example.org",
                "https://app.example.org:443",
                "https://ada@app.example.org",
                "https://app.example.org:port",
                "https://[::1",
                "null",
                "https://other.example.org,",
            )
        ),
        ("ROLLBOOK_TRUSTED_PROXIES", "proxy.example.org", "list of addresses and networks"),
        ("ROLLBOOK_TRUSTED_PROXIES", "10.0.0.0/8, *", "list of addresses and networks"),
        ("ROLLBOOK_TRUSTED_PROXIES", "10.0.0.1/8", "list of addresses and networks"),
        ("ROLLBOOK_RATE_LIMIT", "-1", "greater than or equal to 0"),
        ("ROLLBOOK_RATE_LIMIT", "fast", "valid integer"),
        ("ROLLBOOK_SMTP_URL", "http://mail", "must begin with smtp:// or smtps://"),
        ("ROLLBOOK_SMTP_URL", "smtps://:25", "must be like smtp://user:password@"),
        ("ROLLBOOK_SMTP_URL", "smtp://mail:port", "must be like"),
        ("ROLLBOOK_SMTP_URL", "smtp://mail:99999", "must be like"),
        ("ROLLBOOK_SMTP_URL", "smtp://[::1", "is not a URL"),
        ("ROLLBOOK_SMTP_URL", "smtps://mail/?tls=no", "must be like"),
        ("ROLLBOOK_SMTP_URL", "smtp://grace@mail", "a user and a password, or neither"),
        ("ROLLBOOK_SMTP_FROM", "grace", "must be an address like no-reply@example.org"),
        ("ROLLBOOK_WELCOME_URL", "javascript:alert(1)", "must be an address like"),
        ("ROLLBOOK_WELCOME_URL", "https:///welcome", "must be an address like"),
        ("ROLLBOOK_WELCOME_IMPORTS", "perhaps", "valid boolean"),
        ("ROLLBOOK_TEMPLATES", "/no/such/folder", "does not point to a directory"),
        ("ROLLBOOK_LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
    ],
)
def test_a_wrong_setting_is_named_without_its_value(
    set_: Setter, name: str, value: str, reason: str
) -> None:
    set_(name, value)
    with pytest.raises(WrongSetting, match=reason) as wrong:
        load(Settings)
    assert str(wrong.value).startswith(f"{name}: ")
    assert value not in str(wrong.value)
    assert "\n" not in str(wrong.value)


@pytest.mark.usefixtures("complete")
def test_a_mail_server_needs_a_sender(set_: Setter) -> None:
    set_("ROLLBOOK_SMTP_URL", SMTP)
    for kind in (Settings, LocalSettings):
        with pytest.raises(WrongSetting, match=r"^ROLLBOOK_SMTP_FROM: is not set$"):
            load(kind)
    set_("ROLLBOOK_SMTP_FROM", "Example <no-reply@example.org>")
    assert load(Settings).smtp_from == "Example <no-reply@example.org>"


@pytest.mark.usefixtures("complete")
def test_the_welcome_page_may_have_a_query_and_a_fragment(set_: Setter) -> None:
    set_("ROLLBOOK_WELCOME_URL", "https://example.org/?from=mail#/welcome")
    assert load(Settings).welcome_url == "https://example.org/?from=mail#/welcome"


@pytest.mark.usefixtures("complete")
def test_several_master_keys_are_accepted_newest_first(set_: Setter) -> None:
    set_("ROLLBOOK_MASTER_KEY", f"{KEY} , {OTHER_KEY}")
    assert load(Settings).need("master_key") == f"{KEY},{OTHER_KEY}"


def test_each_secret_may_be_in_a_file(set_: Setter, tmp_path: Path) -> None:
    secrets = {
        "database_url": URL,
        "redis_url": REDIS,
        "amqp_url": AMQP,
        "master_key": KEY,
        "admin_token": TOKEN,
        "smtp_url": SMTP,
    }
    set_("ROLLBOOK_SMTP_FROM", "no-reply@example.org")
    for name, value in secrets.items():
        (tmp_path / name).write_text(f"{value}\n")
        set_(f"{variable(name)}_FILE", str(tmp_path / name))
    settings = load(Settings)
    assert {name: getattr(settings, name).get_secret_value() for name in secrets} == secrets


@pytest.mark.usefixtures("complete")
def test_a_value_wins_over_a_file_and_the_environment_over_dot_env(
    set_: Setter, tmp_path: Path
) -> None:
    other = tmp_path / "token"
    other.write_text("o" * 32)
    set_("ROLLBOOK_ADMIN_TOKEN_FILE", str(other))
    (tmp_path / ".env").write_text(
        f"ROLLBOOK_ADMIN_TOKEN={'d' * 32}\nROLLBOOK_LOG_LEVEL=debug\nOTHER=1\n"
    )
    assert load(Settings).need("admin_token") == TOKEN
    assert load(Settings).log_level == "debug"


def test_a_file_in_the_environment_wins_over_dot_env(set_: Setter, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    set_("ROLLBOOK_ADMIN_TOKEN_FILE", str(tmp_path / "token"))
    (tmp_path / ".env").write_text(f"ROLLBOOK_ADMIN_TOKEN={'d' * 32}\n")
    token = load(LocalSettings).admin_token
    assert token is not None
    assert token.get_secret_value() == TOKEN


@pytest.mark.usefixtures("complete")
def test_a_file_that_cannot_be_read_is_named(set_: Setter, tmp_path: Path) -> None:
    set_("ROLLBOOK_ADMIN_TOKEN", "")
    set_("ROLLBOOK_ADMIN_TOKEN_FILE", str(tmp_path / "none"))
    with pytest.raises(WrongSetting, match=r"ROLLBOOK_ADMIN_TOKEN_FILE: .*No such file"):
        load(Settings)


def test_lists_may_have_spaces_and_are_empty_by_default() -> None:
    origins = ["https://app.example.org", "http://localhost:3000", "http://[::1]:3000"]
    assert origin_list(", ".join(origins)) == origins
    networks = network_list("127.0.0.1, 10.0.0.0/8,fd00::/8")
    assert [str(network) for network in networks] == ["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"]
    assert origin_list("") == network_list("") == []


@pytest.mark.usefixtures("complete")
def test_secrets_do_not_show_in_a_representation(set_: Setter) -> None:
    set_("ROLLBOOK_REDIS_URL", REDIS)
    set_("ROLLBOOK_AMQP_URL", AMQP)
    set_("ROLLBOOK_SMTP_URL", SMTP)
    set_("ROLLBOOK_SMTP_FROM", "no-reply@example.org")
    shown = repr(load(Settings))
    assert not any(secret in shown for secret in (URL, REDIS, AMQP, SMTP, KEY, TOKEN))


def test_the_example_lists_each_setting_with_its_default() -> None:
    listed = dict(
        re.findall(
            r"^#(ROLLBOOK_\w+)=(.*)$",
            (Path(__file__).parents[3] / ".env.example").read_text(),
            re.MULTILINE,
        )
    )
    defaults: dict[str, str] = {}
    for kind in (Settings, LocalSettings, ClientSettings, MigrationSettings):
        for name, field in kind.model_fields.items():
            has_none = field.is_required() or field.default is None
            defaults[variable(name)] = "" if has_none else str(field.default).lower()
    assert listed == defaults


def test_the_example_marks_each_secret() -> None:
    text = (Path(__file__).parents[3] / ".env.example").read_text()
    for kind in (Settings, LocalSettings, ClientSettings, MigrationSettings):
        for name, field in kind.model_fields.items():
            paragraph = next(part for part in text.split("\n\n") if f"#{variable(name)}=" in part)
            assert ("(secret)" in paragraph) == is_secret(field)
