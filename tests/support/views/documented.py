"""The projection in `docs/projections.md`, as a reader of the page would write it."""

import sys
from functools import cache
from types import ModuleType
from typing import Any

from projections.projection import Projection
from tests.support.documents import listing


@cache
def documented() -> Projection[Any]:
    """The projection `NEWCOMERS` of the page."""
    example = listing("projections.md", "python")
    module = ModuleType("documented")
    # The columns come from the annotations, which are looked up in the module.
    sys.modules["documented"] = module
    exec(compile(example, "documented.py", "exec"), module.__dict__)
    projection: Projection[Any] = module.__dict__["NEWCOMERS"]
    return projection
