"""The table of contents of all projections; a new one is a file of its own and a line here."""

from typing import Any, Final

from projections.headcount import HEADCOUNT
from projections.projection import Projection
from projections.users import USERS

PROJECTIONS: Final[tuple[Projection[Any], ...]] = (USERS, HEADCOUNT)
