"""High-water marks in a file, for a Rollbook with a data directory of its own."""

import asyncio
from pathlib import Path
from uuid import UUID

import msgspec

from application.log.high_water import Epoch, Marks, MarksUnavailable, highest
from infrastructure.embedded.ownership import folder_lock, replace_file


class _Damaged(Exception):
    """The file holds something else than marks."""


class FileHighWaterMarks:
    """See `HighWaterMarks`. The file is replaced as a whole and is on disk when `raise_to` returns.

    It is JSON: for each log, for each epoch, a position. Several processes may use it at once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self, log_id: UUID) -> Marks:
        return await asyncio.to_thread(self._read, log_id)

    async def raise_to(self, log_id: UUID, marks: Marks) -> None:
        await asyncio.to_thread(self._raise_to, log_id, marks)

    def _read(self, log_id: UUID) -> Marks:
        try:
            return self._stored().get(log_id, {})
        except (OSError, _Damaged) as error:
            raise MarksUnavailable from error

    def _raise_to(self, log_id: UUID, marks: Marks) -> None:
        try:
            with folder_lock(self._path.parent):
                try:
                    stored = self._stored()
                except _Damaged:
                    stored = {}
                known = stored.get(log_id, {})
                raised = highest([known, marks])
                if raised != known:
                    self._store({**stored, log_id: raised})
        except OSError as error:
            raise MarksUnavailable from error

    def _stored(self) -> dict[UUID, Marks]:
        try:
            logs = msgspec.json.decode(self._path.read_bytes(), type=dict[UUID, dict[str, int]])
            return {
                log_id: {Epoch.parse(epoch): position for epoch, position in marks.items()}
                for log_id, marks in logs.items()
            }
        except FileNotFoundError:
            return {}
        except (msgspec.DecodeError, ValueError) as error:
            raise _Damaged from error

    def _store(self, logs: dict[UUID, Marks]) -> None:
        stored = {
            str(log_id): {str(epoch): position for epoch, position in marks.items()}
            for log_id, marks in logs.items()
        }
        replace_file(self._path, msgspec.json.encode(stored).decode())
