"""Counts the parked streams of each projection, up to a limit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sqlalchemy import text

from application.context import TENANT
from application.projector.admin import MAX_COUNTED
from infrastructure.views.sql.reader import ViewReader

_COUNTS: Final = text(Path(__file__).with_name("parked_counts.sql").read_text())


async def parked_counts(reader: ViewReader) -> Mapping[tuple[str, int], int]:
    """By projection and serving generation. Raises `Unavailable`."""
    rows = await reader.rows(_COUNTS, {"tenant": TENANT, "most": MAX_COUNTED})
    return {(name, generation): streams for name, generation, streams in rows}
