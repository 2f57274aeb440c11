"""A row of an import, and a run that settles rows."""

from collections.abc import Callable
from typing import Any, Final

from interfaces.cli.ldif_import.people import Person
from interfaces.cli.ldif_import.person import PersonImport

Runs = Callable[..., PersonImport]

FIELDS: Final[dict[str, Any]] = {
    "name": "Zoë",
    "email": "zoe@example.org",
    "external_id": "E1",
    "attributes": {"l": "Malmö", "mobile": ["1", "2"]},
}


def row(line: int = 1, **fields: Any) -> Person:
    return Person(line=line, **{**FIELDS, **fields})


class Waits:
    """A sleep that takes no time and remembers how long it was asked for."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
