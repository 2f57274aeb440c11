"""Processes of single roles on given servers, as a supervisor on a host runs them; a test kills them."""

import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Final, Self

from tests.support.run.logs import new_log
from tests.support.servers.postgres import MASTER_KEYS
from tests.support.servers.rollbook import (
    end_with_parent,
    rollbook_command,
    rollbook_environment,
    until,
)

TOKEN: Final = "a-token-of-a-cluster-of-32-characters"
_END_SECONDS: Final = 30.0


def role_module(module: str, role: str) -> list[str]:
    """The command of a role that a module of the tests runs."""
    return [sys.executable, "-P", "-m", module, role]


class Cluster:
    """One process per name; `api` listens on a port of its own. A killed process starts again.

    `commands` gives the command of each process besides the API.
    """

    def __init__(self, commands: Mapping[str, Sequence[str]], **settings: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.token = TOKEN
        self._port = port
        self._commands = {**commands, "api": rollbook_command("api", "--port", str(port))}
        self._environment = rollbook_environment(
            ROLLBOOK_MASTER_KEY=MASTER_KEYS,
            ROLLBOOK_ADMIN_TOKEN=TOKEN,
            ROLLBOOK_LOG_LEVEL="info",
            **settings,
        )
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._logs = {name: new_log(name) for name in self._commands}

    def kill(self, name: str) -> None:
        """Kill a process with SIGKILL, and start it again without waiting."""
        self._processes[name].kill()
        self._processes[name].wait()
        self._start(name)

    def output(self, name: str) -> str:
        """All that the processes of this name wrote."""
        return self._logs[name].read_text(errors="replace")

    def __enter__(self) -> Self:
        for name in self._commands:
            self._start(name)
        until(self._answers, 60)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, name: str) -> None:
        with self._logs[name].open("ab") as output:
            self._processes[name] = subprocess.Popen(
                self._commands[name],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                preexec_fn=end_with_parent,
            )

    def _answers(self) -> bool:
        for name, process in self._processes.items():
            assert process.poll() is None, f"{name} ended:\n{self.output(name)[-2000:]}"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0
