"""An example of each event of access, under the name of its golden file."""

from typing import Final
from uuid import UUID

from domain.access.events import AccessExported, AccessOpened
from domain.event import Event

EXPORT: Final = UUID("01890a5d-ac9a-7000-8000-000000000001")

ACCESS_EXAMPLES: Final[dict[str, Event]] = {
    "access.exported.v1": AccessExported(
        export=EXPORT, what="users", format="csv", filters={"role": "owner", "q": None}
    ),
    "access.opened.v1": AccessOpened(what="events", presented="session"),
}
