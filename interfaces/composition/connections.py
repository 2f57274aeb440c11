"""How many connections to Postgres the pool of a process may have, by its roles."""

from typing import Final

from interfaces.roles import Role, Roles

# With its other connections (the writer, the session that leads, LISTEN and the doorbell's sender).
MAX_OF_A_ROLE: Final = 12
MAX_OF_ALL: Final = 25
_POOL: Final[dict[Role, int]] = {"api": 8, "projector": 4, "relay": 3, "worker": 6}
_MAX_POOL: Final = 12


def pool_size(roles: Roles) -> int:
    """The size of the pool."""
    return min(sum(_POOL[role] for role in roles), _MAX_POOL)
