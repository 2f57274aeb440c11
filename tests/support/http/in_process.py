"""The whole product in this process with real servers, and a client that needs no socket."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

from httpx2 import ASGITransport, AsyncClient
from pydantic import SecretStr

from interfaces.composition.bootstrap import open_rollbook
from interfaces.roles import Roles
from interfaces.settings import Settings
from tests.support.servers.postgres import MASTER_KEYS

ADDRESS: Final = "http://rollbook"
ADMIN_TOKEN: Final = "a-token-of-more-than-32-characters"
SERVING: Final[Roles] = frozenset({"api", "projector"})


@asynccontextmanager
async def in_process(
    database_url: str, roles: Roles = SERVING, **settings: Any
) -> AsyncGenerator[AsyncClient]:
    """Run these roles over a migrated database; the client is an administrator."""
    settings.setdefault("public_url", ADDRESS)
    chosen = Settings.model_construct(
        database_url=SecretStr(database_url),
        master_key=SecretStr(MASTER_KEYS),
        admin_token=SecretStr(ADMIN_TOKEN),
        **settings,
    )
    async with open_rollbook(chosen, roles) as rollbook:
        assert rollbook.application is not None
        async with AsyncClient(
            transport=ASGITransport(rollbook.application, raise_app_exceptions=False),
            base_url=ADDRESS,
            headers={"Authorization": f"Bearer {ADMIN_TOKEN}"},
        ) as client:
            yield client
        rollbook.stopping.set()
