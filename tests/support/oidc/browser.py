"""Signing in through a real issuer, as a browser does it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2
from httpx2 import AsyncClient, Response

from tests.support.http.directory import Directory

LOCAL: Final = "http://127.0.0.1:8000"
LOGIN_COOKIE: Final = "rollbook_login"


@asynccontextmanager
async def browser(directory: Directory, address: str = LOCAL) -> AsyncGenerator[AsyncClient]:
    """It has no token, keeps cookies and shows each redirect."""
    transport = httpx2.ASGITransport(app=directory.app, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url=address) as client:
        yield client


async def sent_back(begun: Response, subject: str = "ada") -> dict[str, str]:
    """Sign in on the issuer's page; the parameters with which it sends the browser back."""
    async with AsyncClient(trust_env=False) as elsewhere:
        allowed = await elsewhere.post(begun.headers["Location"], data={"sub": subject})
    assert allowed.status_code == 302, allowed.text
    return dict(parse_qsl(urlsplit(allowed.headers["Location"]).query))


async def come_back(client: AsyncClient, parameters: dict[str, str] | str) -> Response:
    query = parameters if isinstance(parameters, str) else urlencode(parameters)
    return await client.get(f"/auth/callback?{query}")


async def signed_in(client: AsyncClient, subject: str = "ada") -> Response:
    """The whole way."""
    return await come_back(client, await sent_back(await client.get("/auth/login"), subject))
