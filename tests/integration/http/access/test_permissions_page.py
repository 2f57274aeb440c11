"""The page for people says what each operation needs: the same as the table in the code."""

import re
from collections.abc import Mapping

from application.access.permissions import NEEDS
from interfaces.http.app import OPERATIONS
from tests.support.repository import ROOT

_WORDS = {
    "caller": "any caller",
    "open": "nothing",
    "admin-or-own-export": "`admin`, or `audit:read` for one's own exports",
    "admin-unless-local": "`admin`, or nothing on the same machine",
}


def test_the_page_names_the_needs_of_every_operation() -> None:
    needed: dict[str, set[str]] = {}
    for operation in OPERATIONS:
        need = NEEDS[operation.name]
        words = _WORDS.get(need, f"`{need}`")
        needed.setdefault(words, set()).add(f"{operation.method} {operation.path}")
    needed[f"`{NEEDS['stream_events']}`"].add("WS /v1/stream")
    assert _on_page() == needed, "\n".join(_rows(needed))


def test_the_table_has_no_entry_without_an_operation() -> None:
    assert NEEDS.keys() - {operation.name for operation in OPERATIONS} == {"stream_events"}


def _on_page() -> Mapping[str, set[str]]:
    page = (ROOT / "docs/security.md").read_text()
    rows = re.findall(r"^\| (.+) \| (`[A-Z]+ /.+`) \|$", page, re.M)
    return {needs: set(re.findall(r"`([^`]+)`", operations)) for needs, operations in rows}


def _rows(needed: Mapping[str, set[str]]) -> list[str]:
    return [
        f"| {needs} | {', '.join(f'`{each}`' for each in sorted(operations, key=_by_path))} |"
        for needs, operations in needed.items()
    ]


def _by_path(operation: str) -> tuple[str, str]:
    method, _, path = operation.partition(" ")
    return path, method
