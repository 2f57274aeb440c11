"""docker-compose.yml names commands, options and settings that there are."""

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import typer.main
import yaml

from interfaces.cli.main import app
from interfaces.roles import ROLES
from interfaces.settings import Settings, variable

ROOT: Final = Path(__file__).parents[2]
COMPOSE: Final[Mapping[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: Final[Mapping[str, Mapping[str, Any]]] = COMPOSE["services"]
OURS: Final = [name for name, service in SERVICES.items() if service["image"] == "rollbook"]
OTHERS: Final = sorted(SERVICES.keys() - set(OURS))


def assert_it_can_be_run(words: list[str]) -> None:
    commands = typer.main.get_command(app)
    context = commands.make_context("rollbook", list(words), resilient_parsing=False)
    name, command, rest = commands.resolve_command(context, words)  # type: ignore[attr-defined]
    command.make_context(name, rest)


@pytest.mark.parametrize("name", OURS)
def test_each_command_is_one_of_ours_with_options_it_takes(name: str) -> None:
    assert_it_can_be_run(shlex.split(SERVICES[name]["command"]))
