"""Converts entries to and from rows: rows are written as JSON and read as tuples."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Generic
from uuid import UUID

import msgspec
from msgspec.structs import asdict

from application.failures import describe
from application.projector.view_store import PARTITION, Entry, Slot, Unstorable
from infrastructure.views.sql.tables import required_columns
from projections.projection import V

# The columns before those of the view.
BOOKKEEPING: Final = ("id", "version", "chain", "shown")


class RowFormat(Generic[V]):
    """The row format of one slot's entries."""

    def __init__(self, slot: Slot[V]) -> None:
        projection, lacks = slot.projection, slot.lacks
        self._view = projection.view
        self._names = projection.view.__struct_fields__
        self._made = [
            (made.name, made.of)
            for made in (*projection.keys, *projection.words)
            if made.name not in lacks
        ]
        self._required = [name for name in required_columns(projection) if name not in lacks]

    def to_json(self, entries: Mapping[UUID, Entry[V]], *, incomplete: bool = False) -> str:
        """The rows of entries as one JSON array. Raises `Unstorable`.

        `incomplete`: the entries were read where columns are lacking. What cannot be made without
        these is NULL.
        """
        try:
            rows = [self._to_row(stream, entry, incomplete) for stream, entry in entries.items()]
            return msgspec.json.encode(rows).decode()
        except Unstorable:
            raise
        except Exception as error:
            raise Unstorable(describe(error)) from error

    def _to_row(self, stream: UUID, entry: Entry[V], incomplete: bool) -> dict[str, Any]:
        view = entry.view
        row: dict[str, Any] = {} if view is None else asdict(view)
        if view is not None:
            for name, of in self._made:
                row[name] = _made_or_none(of, view) if incomplete else of(view)
            if not incomplete:
                refuse_null(self._required, row)
        row["id"] = stream
        row["version"] = entry.version
        row["chain"] = "\\x" + entry.chain.hex()
        row["partition"] = PARTITION
        row["shown"] = view is not None
        return row

    def entries(self, rows: Sequence[Sequence[Any]]) -> dict[UUID, Entry[V]]:
        """The entries of rows with the columns of `BOOKKEEPING`, then those of the view."""
        return {row[0]: self._to_entry(row) for row in rows}

    def _to_entry(self, row: Sequence[Any]) -> Entry[V]:
        _, version, chain, shown = row[: len(BOOKKEEPING)]
        view = None
        if shown:
            fields = dict(zip(self._names, row[len(BOOKKEEPING) :], strict=True))
            view = self._view(**fields)
        return Entry(view, version, bytes(chain))


def refuse_null(required: Iterable[str], row: Mapping[str, Any]) -> None:
    """Raises `Unstorable` if a required column has no value."""
    for name in required:
        if row[name] is None:
            raise Unstorable(f"{name} is required, and is null")


def _made_or_none(of: Callable[[Any], Any], view: Any) -> Any:
    with suppress(Exception):
        return of(view)
    return None
