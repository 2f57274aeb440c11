"""A new projection, as the documentation shows it."""

import importlib
import re
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from domain.user.events import PreviousName, UserErased, UserRenamed
from projections.projection import Projection
from tests.support.servers.rollbook import ROOT
from tests.support.views.directory import execute
from tests.support.views.histories import START, history, registered
from tests.support.views.rebuilding import Rebuilder

_RENAMED: Final = UserRenamed(name="Åsa", previous=PreviousName("Zoë"))


@pytest.fixture
def documented(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Projection[Any]:
    """The projection in `docs/projections.md`."""
    page = (ROOT / "docs" / "projections.md").read_text()
    example = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert example is not None
    (tmp_path / "documented.py").write_text(example[1])
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "documented", raising=False)
    return importlib.import_module("documented").NEWCOMERS


def test_the_documented_projection_folds_events(documented: Projection[Any]) -> None:
    view: Any = None
    for recorded in history(registered(), _RENAMED):
        view = documented.evolve(view, recorded)
    assert (view.name, (view.joined - START).seconds) == ("Zoë", 1)
    assert documented.contribution is not None
    assert documented.contribution(view) == {"joined:2024-05": 1}
    assert documented.evolve(view, history(UserErased())[0]) is None


async def test_the_documented_projection_needs_only_its_line_in_the_registry(
    database_url: str, documented: Projection[Any]
) -> None:
    """The projector reads the log from the beginning."""
    async with Rebuilder.open(database_url, []) as before:
        await before.read_side.record(registered())
    async with Rebuilder.open(database_url, [documented]) as rebuilder, rebuilder.projecting():
        await rebuilder.caught_up("newcomers")
        assert await execute(database_url, "SELECT name, name_key FROM newcomers_g1") == [
            ("Zoë", "zoe")
        ]
        assert await rebuilder.differences() == []
