"""Folders and files stay small enough to read: the limits of decision 4."""

from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from tests.support.repository import repository_files
from tests.support.servers.rollbook import ROOT

MAX_LINES: Final = 300
MAX_FILES: Final = {
    "application": 12,
    "infrastructure/views": 4,
    "interfaces": 9,
    "interfaces/http": 3,
    "interfaces/cli": 5,
}


def python_files() -> list[Path]:
    return repository_files("*.py")


@pytest.mark.parametrize(("folder", "limit"), MAX_FILES.items())
def test_the_top_of_a_folder_has_few_files(folder: str, limit: int) -> None:
    assert sum(path.parent == ROOT / folder for path in python_files()) <= limit


def test_no_file_has_more_than_300_lines() -> None:
    lengths = {
        path.relative_to(ROOT): len(path.read_text().splitlines()) for path in python_files()
    }
    assert {path: length for path, length in lengths.items() if length > MAX_LINES} == {}


def test_every_folder_of_python_files_says_what_it_holds() -> None:
    parents = {parent for path in python_files() for parent in path.parents}
    folders = {parent for parent in parents if ROOT in parent.parents}
    missing = [
        folder.relative_to(ROOT)
        for folder in folders
        if not (folder / "__init__.py").is_file()
        and folder != ROOT / "infrastructure/migrations/versions"
    ]
    assert missing == []


def test_one_folder_holds_no_more_than_thirty_files() -> None:
    sizes = Counter(path.parent.relative_to(ROOT) for path in python_files())
    assert {folder: size for folder, size in sizes.items() if size > 30} == {}
