"""Clients that code generators make of the OpenAPI document register, change, list and read events."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from interfaces.http.app import OPERATIONS
from tests.support.clients.node import node, npm_packages
from tests.support.documents import listing
from tests.support.servers.postgres import skip_or_fail
from tests.support.servers.prepared_data import prepared
from tests.support.servers.rollbook import ROOT, RunningRollbook

PAGE: Final = "api.md"
GENERATOR: Final = ROOT / ".tools" / "openapi-python-client" / "bin"
PACKAGES: Final = ROOT / "tests" / "support" / "clients" / "openapi"
SECONDS: Final = 120
# Strict, and the declarations of the packages are checked, too.
COMPILER_OPTIONS: Final = (
    *("--strict", "--noUncheckedIndexedAccess", "--skipLibCheck", "false"),
    *("--target", "es2022", "--module", "nodenext", "--types", "node", "--outDir", "out"),
)


@pytest.fixture(scope="module")
def rollbook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRollbook]:
    with RunningRollbook(prepared(tmp_path_factory.mktemp("clients") / "data")) as rollbook:
        yield rollbook


def output(program: Sequence[str | Path], directory: Path, **environment: str) -> str:
    """What the program prints; the test fails if it fails."""
    done = subprocess.run(
        program,
        cwd=directory,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def target(rollbook: RunningRollbook) -> Mapping[str, str]:
    return {"ROLLBOOK_URL": rollbook.url, "ROLLBOOK_TOKEN": rollbook.token}


def test_a_python_client_of_openapi_python_client_works(
    rollbook: RunningRollbook, tmp_path: Path
) -> None:
    if not GENERATOR.exists():
        skip_or_fail("openapi-python-client is not installed: run .ci/bootstrap dev")
    path = f"{GENERATOR}{os.pathsep}{os.environ['PATH']}"
    generate = [GENERATOR / "openapi-python-client", "generate"]
    options = ["--url", f"{rollbook.url}/openapi.json", "--output-path", "rollbook-client"]
    said = output([*generate, *options], tmp_path, PATH=path)
    assert "Warning" not in said, said

    package = tmp_path / "rollbook-client" / "rollbook_client"
    made = {module.stem for module in package.glob("api/*/*.py")} - {"__init__"}
    assert made == {operation.name for operation in OPERATIONS}

    program = [GENERATOR / "python", "-c", listing(PAGE, "python")]
    environment = {**target(rollbook), "PYTHONPATH": str(package.parent)}
    assert output(program, tmp_path, **environment).splitlines() == [
        "Ada King [2, 3] 1",
        "[('user.registered', {'name': 'Ada Lovelace', 'email': 'ada.python@example.org', "
        "'role': 'member', 'external_id': None, 'attributes': {}}), "
        "('user.renamed', {'name': 'Ada King', 'previous': {'name': 'Ada Lovelace'}}), "
        "('user.attributes_changed', {'set': {'floor': [2, 3]}, 'removed': [], 'previous': {}})]",
    ]


@pytest.mark.long
def test_a_typescript_client_of_openapi_typescript_compiles_strictly_and_works(
    rollbook: RunningRollbook, tmp_path: Path
) -> None:
    packages = npm_packages(PACKAGES)
    (tmp_path / "node_modules").symlink_to(packages)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    generate = [node(), packages / "openapi-typescript" / "bin" / "cli.js"]
    output([*generate, f"{rollbook.url}/openapi.json", "-o", "rollbook.ts"], tmp_path)

    operations = (tmp_path / "rollbook.ts").read_text().partition("interface operations {")[2]
    made = set(re.findall(r"^    (\w+): \{$", operations, re.MULTILINE))
    assert made == {operation.name for operation in OPERATIONS}

    (tmp_path / "client.ts").write_text(listing(PAGE, "ts"))
    compiler = [node(), packages / "typescript" / "bin" / "tsc"]
    output([*compiler, *COMPILER_OPTIONS, "client.ts"], tmp_path)
    program = [node(), tmp_path / "out" / "client.js"]
    printed = output(program, tmp_path, **target(rollbook))
    assert printed.startswith("Ada King [ 2, 3 ] 1\n")
    assert re.findall(r"user\.\w+", printed) == [
        "user.registered",
        "user.renamed",
        "user.attributes_changed",
    ]
