"""Runs `rollbook` of a later release, whose view of a user has one more column: the address's domain.

Run as `python -m tests.support.processes.next_release COMMAND …`.
"""

from typing import Any

from msgspec.structs import asdict, replace

import projections.users as released
from domain.event import Event, Recorded

_EVOLVE = released.evolve


class UserRow(released.UserRow, frozen=True, kw_only=True):
    domain: str


def evolve(row: UserRow | None, recorded: Recorded[Event]) -> UserRow:
    fields: dict[str, Any] = asdict(_EVOLVE(row, recorded))
    fields["domain"] = (fields["email"] or "").partition("@")[2]
    return UserRow(**fields)


# Before any module imports the registry.
USERS: Any = replace(
    released.USERS,
    view=UserRow,
    evolve=evolve,
    indexes=(*released.USERS.indexes, ("domain", "id")),
)
released.USERS = USERS  # pyright: ignore[reportConstantRedefinition]


if __name__ == "__main__":
    from interfaces.cli.main import app

    app()
