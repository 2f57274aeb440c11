"""A new projection, as the documentation shows it."""

from typing import Any, Final

from domain.user.events import PreviousName, UserErased, UserRenamed
from tests.support.views.directory import execute
from tests.support.views.documented import documented
from tests.support.views.histories import START, history, registered
from tests.support.views.rebuilding import Rebuilder

NEWCOMERS: Final = documented()
_RENAMED: Final = UserRenamed(name="Åsa", previous=PreviousName("Zoë"))


def test_the_documented_projection_folds_events() -> None:
    view: Any = None
    for recorded in history(registered(), _RENAMED):
        view = NEWCOMERS.evolve(view, recorded)
    assert (view.name, (view.joined - START).seconds) == ("Zoë", 1)
    assert NEWCOMERS.contribution is not None
    assert NEWCOMERS.contribution(view) == {"joined:2024-05": 1}
    assert NEWCOMERS.evolve(view, history(UserErased())[0]) is None


async def test_the_documented_projection_needs_only_its_line_in_the_registry(
    database_url: str,
) -> None:
    """The projector reads the log from the beginning."""
    async with Rebuilder.open(database_url, []) as before:
        await before.read_side.record(registered())
    async with Rebuilder.open(database_url, [NEWCOMERS]) as rebuilder, rebuilder.projecting():
        await rebuilder.caught_up("newcomers")
        assert await execute(database_url, "SELECT name, name_key FROM newcomers_g1") == [
            ("Zoë", "zoe")
        ]
        assert await rebuilder.differences() == []
