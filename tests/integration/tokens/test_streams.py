"""The streams of a token end with it, also those that were opened with a ticket."""

import asyncio

from pydantic import SecretStr

from interfaces.settings import Settings
from tests.integration.stream.test_over_postgres import running
from tests.support.http.in_process import ADMIN_TOKEN, in_process
from tests.support.http.streaming import closed, frame, streaming
from tests.support.servers.postgres import MASTER_KEYS


async def test_the_streams_of_a_token_that_another_process_revokes_are_closed_within_10_seconds(
    database_url: str,
) -> None:
    settings = Settings.model_construct(
        database_url=SecretStr(database_url),
        master_key=SecretStr(MASTER_KEYS),
        admin_token=SecretStr(ADMIN_TOKEN),
    )
    async with (
        running(settings) as (url, client),
        in_process(database_url, frozenset({"api"})) as other,
    ):
        token = (await other.post("/v1/tokens", json={"name": "crm", "preset": "reader"})).json()
        bearer = {"Authorization": f"Bearer {token['token']}"}
        ticket = (await client.post("/v1/stream/tickets", headers=bearer)).json()["ticket"]
        async with (
            streaming(url, token=token["token"]) as by_token,
            streaming(url, token=None, ticket=ticket) as by_ticket,
            streaming(url, token=ADMIN_TOKEN) as of_another,
        ):
            for stream in (by_token, by_ticket, of_another):
                assert (await frame(stream))["kind"] == "ready"
            assert (await other.delete(f"/v1/tokens/{token['id']}")).status_code == 204
            async with asyncio.timeout(10):
                assert [(await closed(each))[0] for each in (by_token, by_ticket)] == [4401, 4401]
            await client.post("/v1/users", json={"name": "Ada", "email": "ada@example.org"})
            assert (await frame(of_another))["kind"] == "events"
