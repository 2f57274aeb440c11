"""The projection in `docs/projections.md`, as a reader of the page would write it."""

import re
import sys
from functools import cache
from types import ModuleType
from typing import Any

from projections.projection import Projection
from tests.support.servers.rollbook import ROOT


@cache
def documented() -> Projection[Any]:
    """The projection `NEWCOMERS` of the page."""
    page = (ROOT / "docs" / "projections.md").read_text()
    example = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert example is not None, "the page has an example"
    module = ModuleType("documented")
    # The columns come from the annotations, which are looked up in the module.
    sys.modules["documented"] = module
    exec(compile(example[1], "documented.py", "exec"), module.__dict__)
    projection: Projection[Any] = module.__dict__["NEWCOMERS"]
    return projection
