"""The roles of a process: one, or several."""

from typing import Final, Literal, get_args

Role = Literal["projector", "relay", "worker", "api"]
Roles = frozenset[Role]

# In the order in which they start; they end in reverse, so that requests end first.
ROLES: Final[tuple[Role, ...]] = get_args(Role)
EVERY_ROLE: Final[Roles] = frozenset(ROLES)
# It needs no key: the events that it publishes stay sealed.
RELAY_ALONE: Final[Roles] = frozenset({"relay"})


def in_order(roles: Roles) -> list[Role]:
    """The roles in the order in which they start."""
    return [role for role in ROLES if role in roles]


def parse_roles(words: str) -> Roles:
    """The roles in a comma-separated list. Raises `ValueError` for an unknown role."""
    named = frozenset(words.split(","))
    if unknown := named.difference(ROLES):
        raise ValueError(f"no such role: {', '.join(sorted(unknown))}")
    return frozenset(role for role in ROLES if role in named)
