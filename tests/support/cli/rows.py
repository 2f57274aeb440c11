"""A row of an import, and a sleep that takes no time."""

from collections.abc import Callable
from typing import Any, Final

from interfaces.cli.ldif_import.person import PersonImport
from interfaces.cli.ldif_import.rows import Person

Runs = Callable[..., PersonImport]

FIELDS: Final[dict[str, Any]] = {
    "name": "Zoë",
    "email": "zoe@example.org",
    "external_id": "E1",
    "attributes": {"l": "Malmö", "mobile": ["1", "2"]},
}


def row(line: int = 1, **fields: Any) -> Person:
    return Person(line=line, **{**FIELDS, **fields})


class FakeSleep:
    """A sleep that returns at once and records the seconds that it was called with."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
