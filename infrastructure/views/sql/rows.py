"""Converts entries to and from rows: rows are written as JSON and read as tuples."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Generic
from uuid import UUID

import msgspec
from msgspec.structs import asdict

from application.failures import describe
from application.projector.view_store import PARTITION, Entry, Slot, Unstorable
from projections.projection import V

# The columns before those of the view.
BOOKKEEPING: Final = ("id", "version", "chain", "shown")


class RowFormat(Generic[V]):
    """The row format of one slot's entries."""

    def __init__(self, slot: Slot[V]) -> None:
        self._view = slot.projection.view
        self._names = slot.projection.view.__struct_fields__
        self._keys = slot.projection.keys
        self._words = slot.projection.words

    def to_json(self, entries: Mapping[UUID, Entry[V]]) -> str:
        """The rows of entries as one JSON array. Raises `Unstorable`."""
        try:
            rows = [self._to_row(stream, entry) for stream, entry in entries.items()]
            return msgspec.json.encode(rows).decode()
        except Exception as error:
            raise Unstorable(describe(error)) from error

    def _to_row(self, stream: UUID, entry: Entry[V]) -> dict[str, Any]:
        view = entry.view
        row: dict[str, Any] = {} if view is None else asdict(view)
        if view is not None:
            for key in self._keys:
                row[key.name] = key.of(view)
            for words in self._words:
                row[words.name] = words.of(view)
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
