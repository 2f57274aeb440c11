"""The lock files pin what is asked for, the same for production and development, from anywhere."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PINNED = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)


def pins(lock: str) -> dict[str, str]:
    return dict(PINNED.findall((ROOT / lock).read_text()))


def test_production_pins_what_development_pins() -> None:
    assert pins("requirements.txt").items() <= pins("requirements-dev.txt").items()


def test_every_package_that_is_asked_for_is_pinned() -> None:
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())
    production = asked["project"]["dependencies"] + asked["dependency-groups"]["build"]
    development = [one for one in asked["dependency-groups"]["dev"] if isinstance(one, str)]
    for lock, wanted in (("requirements.txt", production), ("requirements-dev.txt", development)):
        names = {re.split(r"[\[<>=~!;]", one)[0] for one in wanted}
        assert names <= pins(lock).keys()


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-dev.txt", ".ci/uv.txt"])
def test_every_pin_has_a_hash_and_no_lock_names_a_place(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert "index-url" not in text
    for package in re.split(r"\n(?=\S)", text):
        assert not PINNED.match(package) or "--hash=sha256:" in package
