"""Runs Rollbook as a process, for tests that check it from outside."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

from tests.support.run.logs import keep_log, keep_output, new_log, register_secret
from tests.support.servers.commands import run_command

ROOT: Final = Path(__file__).parents[3]
# Shorter values of tests, such as "secret", are words that a log may have.
_SECRET_LENGTH: Final = 12


def end_with_parent() -> None:
    """The kernel sends SIGTERM to the child when its parent ends (Linux: PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def rollbook_command(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "interfaces.cli.main", *arguments]


def rollbook_environment(**settings: str) -> dict[str, str]:
    """The environment of this process with only these settings, and with this source tree.

    No log may contain the secrets among the settings.
    """
    register_secret(*_secrets_in(settings))
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("ROLLBOOK_")
    }
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**inherited, **settings, "PYTHONPATH": path}


def run_rollbook(
    *arguments: str, stdin: str = "", **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, outside the source tree, so that it finds no `.env`."""
    environment = rollbook_environment(**settings)
    done = run_command(*arguments, environment=environment, stdin=stdin, timeout_seconds=60)
    keep_output(f"command-{arguments[0]}", done.stderr)
    return done


def _secrets_in(settings: Mapping[str, str]) -> list[str]:
    found: list[str] = []
    for name, value in settings.items():
        if name.endswith("_URL"):
            found.append(urlsplit(value).password or "")
        elif name.endswith(("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")):
            found += value.split(",")
    return [value for value in found if len(value) >= _SECRET_LENGTH]


class RunningRollbook:
    """Runs `rollbook up` on `data_dir` inside a context; a restart uses the same port."""

    def __init__(self, data_dir: Path, *arguments: str, **settings: str) -> None:
        self.data_dir = data_dir
        self.log = Path(os.devnull)
        self._arguments = arguments
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def output(self) -> str:
        """The output since the last start."""
        return self.log.read_text()

    @property
    def token(self) -> str:
        return (self.data_dir / "admin-token").read_text().strip()

    @property
    def master_key(self) -> str:
        return (self.data_dir / "master-key").read_text().strip()

    def start(self, timeout_seconds: float = 120.0) -> float:
        """Start the process; the seconds until it prints that it runs."""
        began = time.monotonic()
        port = self.url.rpartition(":")[2] or "0"
        arguments = ["up", "--data-dir", str(self.data_dir), "--port", port, *self._arguments]
        self.log = new_log("up")
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                rollbook_command(*arguments),
                env=rollbook_environment(**self._settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                preexec_fn=end_with_parent,
            )
        until(self._is_up, timeout_seconds)
        self._register_secrets()
        return time.monotonic() - began

    def status(self, path: str, timeout_seconds: float = 5.0) -> int:
        """The status of a GET; 0 if there is no answer."""
        request = urllib.request.Request(
            self.url + path, headers={"Authorization": f"Bearer {self.token}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout_seconds) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def kill(self) -> None:
        """Kill the process with SIGKILL, without a shutdown."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def kill_all(self) -> None:
        """Send SIGKILL to the process and to all that it started, as a power loss does."""
        parts = self.children()
        processes = [self.pid, *parts.values(), *children_of(parts.get("postgres", self.pid))]
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit code. Raises `TimeoutExpired` after 60 s."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(timeout=60)

    def children(self) -> dict[str, int]:
        """The child processes' ids: `postgres`, `valkey`, and `application` or one per role."""
        found: dict[str, int] = {}
        for pid in children_of(self.pid):
            # One that has just ended has no command any more.
            with suppress(FileNotFoundError):
                found[_name_of(Path(f"/proc/{pid}/cmdline").read_bytes())] = pid
        return found

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop()
        for server in ("postgres", "valkey"):
            keep_log(self.data_dir / server / "server.log")

    def _register_secrets(self) -> None:
        for file in (self.data_dir / "admin-token", self.data_dir / "master-key"):
            if file.exists():
                register_secret(*file.read_text().strip().split(","))

    def _is_up(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"rollbook up ended with {self._process.poll()}:\n{self.output}")
        found = re.search(r"^Rollbook runs at (\S+)$", self.output, re.MULTILINE)
        self.url = found[1] if found else self.url
        return found is not None


def _name_of(command: bytes) -> str:
    roles = re.search(rb"\0--roles=([a-z,]+)", command)
    if roles is None:
        return "postgres" if b"postgres\0-D" in command else "valkey"
    return "application" if b"," in roles[1] else roles[1].decode()


def children_of(process: int) -> list[int]:
    """The ids of the processes that the first thread of a process started."""
    return [
        int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()
    ]


def until(condition: Callable[[], bool], timeout_seconds: float = 30.0) -> None:
    """Wait until the condition holds; an assertion fails after the timeout."""
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_seconds} s"
        time.sleep(0.02)
