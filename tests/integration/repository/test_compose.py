"""docker-compose.yml and the image use only existing commands, options and settings."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from interfaces.roles import ROLES
from interfaces.settings import NEEDED, Settings, load_for, variable
from tests.support.servers.rollbook import run_rollbook

ROOT: Final = Path(__file__).parents[3]
SERVICES: Final[Mapping[str, Mapping[str, Any]]] = yaml.safe_load(
    (ROOT / "docker-compose.yml").read_text()
)["services"]
OURS: Final = [name for name, service in SERVICES.items() if service["image"] == "rollbook"]
SERVERS: Final = sorted(SERVICES.keys() - set(OURS))
# What only some roles use: the API asks the mail server whether it takes mails, the worker sends them;
# only the API has callers.
ONLY: Final[Mapping[str, Sequence[str]]] = {
    "ROLLBOOK_OIDC_AUDIENCE": ["api"],
    "ROLLBOOK_OIDC_CLIENT_ID": ["api"],
    "ROLLBOOK_OIDC_CLIENT_SECRET": ["api"],
    "ROLLBOOK_OIDC_ISSUER": ["api"],
    "ROLLBOOK_OIDC_PERMISSIONS_CLAIM": ["api"],
    "ROLLBOOK_SMTP_URL": ["api", "worker"],
    "ROLLBOOK_TEMPLATES": ["worker"],
}
_VARIABLE: Final = re.compile(r"\$\{(\w+)(?::-([^}]*)|:\?[^}]*)\}")


def assert_valid(words: Sequence[str]) -> None:
    """A valid command line fails only because its settings are missing."""
    asked = run_rollbook(*words)
    assert asked.returncode == 2
    assert asked.stderr.startswith("rollbook: ROLLBOOK_DATABASE_URL: is not set"), asked.stderr


def environment_of(name: str, given: Mapping[str, str]) -> dict[str, str]:
    """The environment of the service if only `given` is set outside."""

    def value(match: re.Match[str]) -> str:
        return given.get(match[1]) or match[2] or ""

    set_: Mapping[str, str] = SERVICES[name]["environment"]
    return {each: _VARIABLE.sub(value, text) for each, text in set_.items()}


def test_it_runs_the_migrations_each_role_and_the_three_servers() -> None:
    assert set(OURS) == {"migrate", *ROLES}
    assert {"postgres", "redis", "rabbitmq"} == set(SERVERS)


@pytest.mark.parametrize("name", OURS)
def test_each_command_is_valid(name: str) -> None:
    words = shlex.split(SERVICES[name]["command"])
    assert words[0] == name
    assert_valid(words)


def test_the_command_of_the_image_is_valid() -> None:
    (line,) = re.findall(r"^CMD (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert_valid(json.loads(line))


@pytest.mark.parametrize("name", OURS)
def test_each_environment_names_only_existing_and_all_needed_settings(
    name: str, monkeypatch: pytest.MonkeyPatch, master_keys: str, tmp_path: Path
) -> None:
    secrets = {"ROLLBOOK_MASTER_KEY": master_keys, "ROLLBOOK_ADMIN_TOKEN": "t" * 32}
    found = environment_of(name, secrets)
    needed = {variable(field) for role in ROLES if role == name for field in NEEDED[role]}
    assert found.keys() & secrets.keys() == needed & secrets.keys()
    known = {variable(field) for field in Settings.model_fields}
    used = {each for each in known if name in ONLY.get(each, [name])}
    assert found.keys() | secrets.keys() == used
    monkeypatch.chdir(tmp_path)
    for each in known:
        monkeypatch.setenv(each, found.get(each, ""))
    settings = load_for(frozenset(role for role in ROLES if role == name))
    assert settings.redis_url
    assert settings.amqp_url
    assert settings.public_url is None
    assert settings.cache_ttl == 3600


@pytest.mark.parametrize("name", SERVERS)
def test_each_server_has_a_health_check(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]


@pytest.mark.parametrize("name", ROLES)
def test_each_role_waits_for_the_schema_and_is_restarted_when_it_ends(name: str) -> None:
    waits_for = SERVICES[name]["depends_on"]
    assert waits_for["migrate"] == {"condition": "service_completed_successfully"}
    assert {each["condition"] for each in waits_for.values()} <= {
        "service_completed_successfully",
        "service_healthy",
    }
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_redis_saves_nothing_on_disk_and_logs_no_command_arguments() -> None:
    words = shlex.split(SERVICES["redis"]["command"])
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert (options["--save"], options["--appendonly"]) == ("", "no")
    assert (options["--slowlog-log-slower-than"], options["--crash-log-enabled"]) == ("-1", "no")


def test_redis_evicts_the_least_recently_used_keys_at_its_memory_limit() -> None:
    words = shlex.split(SERVICES["redis"]["command"])
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert (options["--maxmemory"], options["--maxmemory-policy"]) == ("256mb", "allkeys-lru")
