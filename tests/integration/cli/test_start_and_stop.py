"""A process ends on request at any moment of its start or run."""

import asyncio

import pytest

from interfaces.roles import EVERY_ROLE
from tests.support.http.in_process import in_process
from tests.support.servers.postgres import scaled

END_SECONDS = 15


@pytest.mark.parametrize("moment", range(scaled(8)))
async def test_every_role_ends_at_any_moment(database_url: str, moment: int) -> None:
    context = in_process(database_url, EVERY_ROLE)
    client = await context.__aenter__()
    for _ in range(moment % 5):
        assert (await client.get("/v1/users")).status_code == 200
    await asyncio.sleep(moment % 7 * 0.02)
    async with asyncio.timeout(END_SECONDS):
        await context.__aexit__(None, None, None)
