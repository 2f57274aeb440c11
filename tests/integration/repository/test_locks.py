"""The lock files pin all requirements, alike for production and development, without an index."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PINNED = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)


def pins(lock: str) -> dict[str, str]:
    return dict(PINNED.findall((ROOT / lock).read_text()))


def test_production_and_development_pin_the_same_versions() -> None:
    assert pins("requirements.txt").items() <= pins("requirements-dev.txt").items()


def test_every_required_package_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    production = project["project"]["dependencies"] + project["dependency-groups"]["build"]
    development = [one for one in project["dependency-groups"]["dev"] if isinstance(one, str)]
    for lock, wanted in (("requirements.txt", production), ("requirements-dev.txt", development)):
        names = {re.split(r"[\[<>=~!;]", one)[0] for one in wanted}
        assert names <= pins(lock).keys()


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-dev.txt", ".ci/uv.txt"])
def test_every_pin_has_a_hash_and_no_lock_names_an_index(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert "index-url" not in text
    for package in re.split(r"\n(?=\S)", text):
        assert not PINNED.match(package) or "--hash=sha256:" in package
