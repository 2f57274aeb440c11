"""Scans all logs of a test run for secrets, tokens, e-mail addresses and names of people.

A finding is a file, a line and a kind: the value itself is not printed.
"""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import quote, quote_plus

import pytest
from msgspec import Struct

from tests.support.run.logs import FOLDER, SECRETS
from tests.support.servers.postgres import MASTER_KEYS

FOUND: Final = 10
"""The exit code of a run whose logs have a finding; unlike failed tests, it is not retried."""
MIN_FILES: Final = 100
"""The whole suite writes several hundred files; fewer mean that the scan sees too little."""
NAMES: Final = (
    *("Ada King", "Ada Lovelace", "Ada Owner", "Ann Bo", "Anna Alm", "Anna Holm", "Bo Berg"),
    *("Babs Jensen", "Barbara Jensen", "Bjorn Jensen", "Grace Hopper", "Kurt Gödel"),
    *("Åsa", "Öberg", "Lindström", "Nyckelharpa", "Quasar", "Zyxwina", "Blumenkötter"),
)
"""The people of the tests; a distinctive part of a name stands for all names that have it."""
_KINDS: Final = {
    "API token": r"rbk_[0-9A-Za-z]{49}",
    "webhook secret": r"whsec_[0-9A-Za-z+/=]{16,}",
    "JWT": r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]*",
    "session cookie": r"rollbook_session=[^;\s\"']+",
    "ticket": r"[?&]ticket=[\w-]+",
    # `rollbook up` prints a link for the person that starts it; no log line may have one.
    "sign-in link": r"^\{.*#signin=[\w-]+",
    "e-mail address": r"[\w.+-]+(?:@|%40)(?!localhost)[\w-]+(?:\.[\w-]+)+",
}


class Finding(Struct, frozen=True):
    """A line that no log may have; lines count from 1."""

    file: Path
    line: int
    kind: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.kind}"


class Scan(Struct, frozen=True):
    """What a scan read, and what it found."""

    files: int
    lines: int
    findings: Sequence[Finding]


def scan(files: Iterable[Path], secrets: Sequence[str] = (), names: Sequence[str] = NAMES) -> Scan:
    """Search every line of the files."""
    pattern = _pattern(secrets, names)
    read, lines, findings = 0, 0, list[Finding]()
    for file in files:
        read += 1
        for number, line in enumerate(_lines(file), 1):
            lines += 1
            kinds = {str(match.lastgroup) for match in pattern.finditer(line)}
            findings += [Finding(file, number, _name_of(kind)) for kind in sorted(kinds)]
    return Scan(read, lines, findings)


def secrets_of(folder: Path) -> list[str]:
    """The master key of all tests, and what the processes of the run registered."""
    file = folder / SECRETS
    registered = file.read_text().splitlines() if file.exists() else []
    return sorted({MASTER_KEYS, *registered})


def reasons_to_fail(found: Scan, *, whole: bool) -> list[str]:
    """One line for each; `whole`: all tests ran, so there must be many logs."""
    reasons = [str(finding) for finding in found.findings]
    if whole and found.files < MIN_FILES:
        reasons.append(f"the logs of the whole suite are {MIN_FILES} files or more")
    return reasons


class LogScan:
    """A plug-in of the main process: makes the folder of the logs, scans it at the end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._folder = Path(tempfile.mkdtemp(prefix="rollbook-logs-"))
        os.environ[FOLDER] = str(self._folder)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what this test's own process logged, and the children that share its output."""
        if report.when == "teardown":
            captured = "\n".join(text for _, text in report.sections)
            if captured:
                test = re.sub(r"\W+", "-", report.nodeid.partition("[")[0])[-150:]
                with (self._folder / f"{test}.log").open("a") as log:
                    log.write(f"{captured}\n")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Scan after all others have ended their processes, and fail the run if there is cause."""
        try:
            return (yield)
        finally:
            found = scan(self._logs(), secrets_of(self._folder))
            whole = os.environ.get("ROLLBOOK_TEST_REQUIRE_ALL") == "1"
            reasons = reasons_to_fail(found, whole=whole and "tests" in self._config.args)
            self._print(f"\n{found.files} logs with {found.lines} lines scanned", *reasons)
            if reasons:
                session.exitstatus = FOUND
            else:
                shutil.rmtree(self._folder)
            del os.environ[FOLDER]

    def _logs(self) -> list[Path]:
        """The logs of the folder, and those of servers in the tests' temporary directories."""
        factory: pytest.TempPathFactory = cast("Any", self._config)._tmp_path_factory
        return sorted([*self._folder.glob("*.log"), *factory.getbasetemp().rglob("server.log*")])

    def _print(self, *lines: str) -> None:
        reporter: Any = self._config.pluginmanager.get_plugin("terminalreporter")
        for line in lines:
            reporter.write_line(line)


def _pattern(secrets: Sequence[str], names: Sequence[str]) -> re.Pattern[str]:
    """One expression with a group per kind; each text in the forms that a log may have."""
    kinds = dict(_KINDS)
    if secrets:
        kinds = {"registered secret": _any_of(secrets), **kinds}
    kinds["name of a person"] = rf"(?<!\w)(?:{_any_of(names)})"
    groups = (f"(?P<{_group_of(kind)}>{expression})" for kind, expression in kinds.items())
    return re.compile("|".join(groups))


def _any_of(texts: Sequence[str]) -> str:
    forms = {
        form
        for text in texts
        for form in (text, json.dumps(text)[1:-1], quote(text), quote_plus(text))
    }
    return "|".join(map(re.escape, sorted(forms)))


def _group_of(kind: str) -> str:
    return kind.replace(" ", "_").replace("-", "__")


def _name_of(group: str) -> str:
    return group.replace("__", "-").replace("_", " ")


def _lines(file: Path) -> Iterator[str]:
    with file.open(errors="replace") as text:
        yield from text
