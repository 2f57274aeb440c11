"""RabbitMQ for tests: a private node of the installed program, which a test may stop and start."""

import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Final

from infrastructure.embedded.process import spawn
from tests.support.run.logs import keep_log
from tests.support.servers.postgres import skip_or_fail

# Debian's program on the PATH changes the account; the first one runs in any account.
_PROGRAMS: Final = ("/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server")
_DIE_WITH_PARENT: Final = ("setpriv", "--pdeathsig", "KILL", "--")
_START_TIMEOUT_SECONDS: Final = 60.0
_STOP_TIMEOUT_SECONDS: Final = 30.0
_PROTOCOL_HEADER: Final = b"AMQP\x00\x00\x09\x01"
# The kernel assigns higher ports, so it takes none of these between the check and the use.
_PORTS: Final = range(20_000, 32_000)


class RabbitNode:
    """A node on private ports of the loopback address; it ends with this process."""

    def __init__(self, program: str, directory: Path) -> None:
        self._program = program
        self._directory = directory
        self._port, distribution, self._epmd_port = islice(_free_ports(), 3)
        self._environment = {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(directory),
            # Without it, a shell is the parent of the node.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_NODENAME": f"rollbook-{self._port}@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(directory / "data"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(directory / "environment"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
            # Without `+sbwt none` its schedulers spin while they wait, and take time from the tests.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}"
            " +sbwt none +sbwtdcpu none +sbwtdio none",
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        (directory / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self._port}\nlog.file.level = warning\n"
        )
        (directory / "environment").touch()
        (directory / "plugins").write_text("[].\n")
        self._epmd: subprocess.Popen[bytes] | None = None
        self._node: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self._port}/"

    @property
    def process(self) -> int:
        assert self._node is not None
        return self._node.pid

    def start(self) -> None:
        """Start the node if it does not run; returns when it accepts connections."""
        if self._node is None or self._node.poll() is not None:
            self.launch()
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while not self._answers():
            assert self._node is not None
            assert self._node.poll() is None, self._output()
            assert time.monotonic() < deadline, (
                f"not within {_START_TIMEOUT_SECONDS} s: {self._output()}"
            )
            time.sleep(0.05)

    def launch(self) -> None:
        """Start the processes without waiting. They end with the calling thread."""
        if self._epmd is None:
            # The node would start its own epmd, which does not end with the node.
            program = shutil.which("epmd") or "epmd"
            self._epmd = self._spawn(program, "-port", str(self._epmd_port))
        self._node = self._spawn(self._program)

    def stop(self) -> None:
        """Shut the node down; durable data stays."""
        if self._node is not None:
            self._node.terminate()
            try:
                self._node.wait(_STOP_TIMEOUT_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """Kill the node with SIGKILL, without a shutdown."""
        if self._node is not None:
            self._node.kill()
            self._node.wait()

    def close_connections(self) -> None:
        """Close all connections of the node, as an administrator does."""
        self.control("close_all_connections", "a test closes them")

    def control(self, *words: str) -> str:
        """Run `rabbitmqctl` on this node; what it prints. It takes a second or two."""
        program = Path(self._program).with_name("rabbitmqctl")
        command = [str(program), "--quiet", *words]
        done = subprocess.run(
            command, env=self._environment, check=True, capture_output=True, timeout=60, text=True
        )
        return done.stdout

    def close(self) -> None:
        """End the node and epmd."""
        self.stop()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()

    def _spawn(self, *command: str) -> subprocess.Popen[bytes]:
        wrapper = _DIE_WITH_PARENT if shutil.which("setpriv") else ()
        return spawn([*wrapper, *command], self._directory / "output", self._environment)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=1) as connection:
                connection.sendall(_PROTOCOL_HEADER)
                return len(connection.recv(1)) == 1
        except OSError:
            return False

    def _output(self) -> str:
        return (self._directory / "output").read_text(errors="replace")[-2000:]


@contextmanager
def rabbit_node() -> Generator[RabbitNode]:
    """A running node; the test is skipped if no RabbitMQ is installed.

    It is of the programs in the folder ROLLBOOK_TEST_RABBITMQ_BIN, if that is set.
    """
    given = os.environ.get("ROLLBOOK_TEST_RABBITMQ_BIN")
    programs = _PROGRAMS if given is None else (f"{given}/rabbitmq-server",)
    program = next(filter(None, map(shutil.which, programs)), None)
    if program is None or shutil.which("epmd") is None:
        skip_or_fail("no RabbitMQ is installed")
    directory = Path(tempfile.mkdtemp(prefix="rollbook-rabbit-"))
    node = RabbitNode(program, directory)
    try:
        node.start()
        yield node
    finally:
        node.close()
        for log in (directory / "output", *(directory / "log").glob("*.log")):
            keep_log(log)
        shutil.rmtree(directory, ignore_errors=True)


def _free_ports() -> Iterator[int]:
    """Different ports that are free at this moment."""
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            yield port
