"""In-memory exports for tests; they pass the same contract suite as the real ones."""

from uuid import UUID

from application.exports.requests import PendingExport, Piece, RequestedExport, SelectedExport


class InMemoryExports:
    """See `Exports` and `ExportRuns`."""

    def __init__(self) -> None:
        self._asked: dict[UUID, RequestedExport] = {}
        self._attempts: dict[UUID, int] = {}
        self._pieces: dict[UUID, dict[int, Piece]] = {}
        self._selected: dict[UUID, SelectedExport] = {}

    async def record(self, requested: RequestedExport) -> None:
        self._asked.setdefault(requested.id, requested)

    async def piece(self, export: UUID, number: int) -> Piece | None:
        return self._pieces.get(export, {}).get(number)

    async def begin(self, export: UUID, attempt: int) -> PendingExport | SelectedExport | None:
        requested = self._asked.get(export)
        if requested is None or attempt < self._attempts.get(export, 0):
            return None
        self._attempts[export] = attempt
        if export in self._selected:
            return self._selected[export]
        self._pieces[export] = {}
        return PendingExport(requested.request, requested.position)

    async def add(self, export: UUID, attempt: int, number: int, piece: Piece) -> bool:
        if not self._is_open(export, attempt):
            return False
        self._pieces[export][number] = piece
        return True

    async def end(self, export: UUID, attempt: int, selected: SelectedExport) -> bool:
        if self._selected.get(export) == selected and self._attempts.get(export) == attempt:
            return True
        if not self._is_open(export, attempt):
            return False
        self._selected[export] = selected
        return True

    async def oldest_naming(self) -> int | None:
        waiting = (each for each in self._asked.values() if each.id not in self._selected)
        return min((each.position for each in waiting if each.names), default=None)

    def remove(self, export: UUID) -> None:
        """Delete an export, as the purge and the end of a failed job do."""
        for each in (self._asked, self._attempts, self._pieces, self._selected):
            each.pop(export, None)

    def _is_open(self, export: UUID, attempt: int) -> bool:
        is_waiting = export in self._asked and export not in self._selected
        return is_waiting and self._attempts.get(export) == attempt
