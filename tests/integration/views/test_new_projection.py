"""A new projection, as the documentation shows it, and a new optional field of its view."""

import asyncio
import importlib
import re
import sys
import time
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from msgspec import defstruct
from msgspec.structs import asdict, replace

from domain.event import Event, Recorded
from domain.user.events import PreviousName, UserErased, UserRegistered, UserRenamed
from infrastructure.views.projector.ensure import EnsureBusy, ensure_views
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


def with_email(projection: Projection[Any]) -> Projection[Any]:
    """The same projection in a later release, with one more field of its view."""
    view = defstruct(
        "Newcomer",
        [("email", str | None, None)],
        bases=(projection.view,),
        frozen=True,
        kw_only=True,
    )

    def evolve(before: Any, recorded: Recorded[Event]) -> Any:
        after: Any = projection.evolve(before, recorded)
        if isinstance(recorded.event, UserRegistered):
            return view(**asdict(after), email=recorded.event.email)
        return after

    return replace(projection, view=view, evolve=evolve)


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


async def test_a_new_optional_field_gets_its_column_at_the_start_and_its_values_by_a_rebuild(
    database_url: str, documented: Projection[Any]
) -> None:
    async with Rebuilder.open(database_url, [documented]) as old, old.projecting():
        await old.read_side.record(registered())
        await old.caught_up("newcomers")
        await old.rebuild("newcomers")
    later = with_email(documented)
    async with Rebuilder.open(database_url, [later]) as new, new.projecting():
        yan = await new.read_side.record(registered(name="Yan", email="yan@example.com"))
        await new.caught_up("newcomers")
        # The generation that serves, and the one before it, which a rollback needs.
        for generation in (1, 2):
            rows = await execute(database_url, f"SELECT name, email FROM newcomers_g{generation}")
            assert sorted(rows) == [("Yan", "yan@example.com"), ("Zoë", None)]
        made = await new.rebuild("newcomers")
        assert (made["switched"], made["compared"]["differing"]) == (True, 1)
        rows = await execute(database_url, "SELECT name, email FROM newcomers_g3")
        assert sorted(rows) == [("Yan", "yan@example.com"), ("Zoë", "Zoe@Example.com")]
        assert yan not in made["compared"]["streams"]
        # The release before reads and writes the tables as well.
        assert await ensure_views(database_url, [documented])


async def test_a_new_column_waits_for_a_long_reader_without_stopping_the_others(
    database_url: str, documented: Projection[Any]
) -> None:
    await ensure_views(database_url, [documented])
    began, waited = time.monotonic(), 0.0
    async with await psycopg.AsyncConnection.connect(database_url) as reader:
        await reader.execute("SELECT FROM newcomers_g1")
        adding = asyncio.create_task(
            ensure_views(database_url, [with_email(documented)], timeout_seconds=3)
        )
        while not adding.done():
            before = time.monotonic()
            assert await execute(database_url, "SELECT count(*) FROM newcomers_g1") == [(0,)]
            waited += max(time.monotonic() - before - 0.05, 0)
            await asyncio.sleep(0.01)
        with pytest.raises(EnsureBusy):
            await adding
    # Others queue behind it for a moment, then have the table for themselves.
    assert waited < 0.35 * (time.monotonic() - began)
    await ensure_views(database_url, [with_email(documented)])
    assert await execute(database_url, "SELECT email FROM newcomers_g1") == []
