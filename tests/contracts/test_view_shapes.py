"""The tables of each projection, as written down: a change of them is deliberate."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from application.projector.view_store import Slot
from infrastructure.views.sql.shapes import type_name
from infrastructure.views.sql.tables import tables_of
from projections.projection import Projection
from projections.registry import PROJECTIONS

SHAPES: Final = json.loads(Path(__file__).with_name("golden").joinpath("views.json").read_text())


def test_each_projection_is_written_down() -> None:
    assert SHAPES.keys() == {projection.name for projection in PROJECTIONS}


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda projection: projection.name)
def test_the_tables_are_those_written_down(projection: Projection[Any]) -> None:
    """If this fails because of a removed or retyped column, or if `evolve` makes other views of the
    same events, increase the projection's `revision`; then update `golden/views.json`.
    """
    rows = tables_of(Slot(projection)).rows
    assert {
        "revision": projection.revision,
        "columns": {column.name: type_name(column.type) for column in rows.columns},
        "indexes": sorted(str(index.name) for index in rows.indexes),
    } == SHAPES[projection.name]
