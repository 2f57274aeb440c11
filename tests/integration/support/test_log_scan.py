"""The scan of the logs of a run: it finds each kind of secret and personal data, and only those."""

import re
from pathlib import Path
from typing import Final

import pytest

from tests.support.run.log_scan import MIN_FILES, NAMES, Finding, Scan, reasons_to_fail, scan
from tests.support.run.logs import keep_log
from tests.support.servers.rollbook import ROOT

SECRET: Final = "a-registered-token-of-32-characters"
CLEAN: Final = """\
Sign in at http://127.0.0.1:8000/console/#signin=Zm9vYmFy
{"event":"ready","roles":["api"],"address":"127.0.0.1","port":8000,"level":"info"}
{"event":"request","method":"GET","path":"/v1/users/018f0000-0000-7000-8000-000000000001"}
{"event":"failed","exception":[{"type":"psycopg.OperationalError","at":["/a/b.py:12 run"]}]}
2026-12-01 12:00:00.000 UTC [1] LOG:  database system is ready to accept connections
"""
PLANTED: Final = {
    "API token": "rbk_" + "aB3" * 16 + "x",
    "webhook secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "JWT": "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "session cookie": "rollbook_session=0123456789abcdef",
    "ticket": "/v1/stream?ticket=Zm9vYmFy",
    "sign-in link": "http://127.0.0.1:8000/console/#signin=Zm9vYmFy",
    "registered secret": SECRET,
    "e-mail address": "someone@example.org",
    "name of a person": "Åsa Öberg",
}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "api.log"


def test_a_clean_log_passes_and_its_lines_are_counted(log: Path) -> None:
    log.write_text(CLEAN)
    found = scan([log], [SECRET])
    assert (found.files, found.lines, found.findings) == (1, 5, [])


@pytest.mark.parametrize(("kind", "value"), PLANTED.items())
def test_a_planted_value_is_found_by_file_line_and_kind_and_not_repeated(
    log: Path, kind: str, value: str
) -> None:
    log.write_text(f'{CLEAN}{{"event":"request","query":"{value}"}}\n')
    found = scan([log], [SECRET])
    assert found.findings == [Finding(log, 6, kind)]
    assert value not in str(found.findings[0])


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("e-mail address", "GET /v1/users?email=someone%40example.org"),
        ("e-mail address", "DETAIL:  Key (value)=(jose.öberg@example.org) already exists."),
        ("name of a person", '{"name": "\\u00c5sa"}'),
        ("name of a person", "GET /v1/users?q=%C3%85sa"),
        ("name of a person", "Failing row contains (1, Ada Lovelace)."),
    ],
)
def test_a_value_is_found_in_each_form_that_a_log_gives_it(log: Path, kind: str, line: str) -> None:
    log.write_text(line)
    assert kind in [finding.kind for finding in scan([log]).findings]


def test_a_line_that_is_no_text_is_scanned_too(log: Path) -> None:
    log.write_bytes(b"\xff\xfe someone@example.org\n")
    assert [finding.kind for finding in scan([log]).findings] == ["e-mail address"]


def test_a_run_fails_for_a_finding_and_if_the_whole_suite_has_few_logs(log: Path) -> None:
    clean, found = Scan(MIN_FILES, 1, []), Scan(MIN_FILES, 1, [Finding(log, 3, "JWT")])
    assert reasons_to_fail(clean, whole=True) == []
    assert reasons_to_fail(found, whole=False) == [f"{log}:3: JWT"]
    few = Scan(0, 0, [])
    assert reasons_to_fail(few, whole=False) == []
    assert len(reasons_to_fail(few, whole=True)) == 1


def test_the_people_of_the_test_support_are_known() -> None:
    person = re.compile(r'\bname"?(?:: str)?\s*[:=]\s*"([A-ZÅÖ]\w+(?: [A-ZÅÖ]\w+)+)')
    people = {
        found
        for folder in ("support", "e2e")
        for file in (ROOT / "tests" / folder).rglob("*.py")
        for found in person.findall(file.read_text())
    }
    assert len(people) > 3
    assert [one for one in sorted(people) if not any(name in one for name in NAMES)] == []


def test_this_run_scans_the_logs_that_are_kept(log: Path) -> None:
    log.write_text(CLEAN)
    kept = keep_log(log)
    assert kept is not None
    assert scan([kept]).lines == 5
    assert keep_log(log.with_name("missing")) is None
