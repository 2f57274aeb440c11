"""A revoked token and an ended session are refused by every process, with Redis or without.

The two API processes share one Postgres and nothing else: one has a Redis, the other has none.
"""

import json
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, Final

import pytest
from httpx2 import Client
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.support.servers.roles import address_in, role
from tests.support.servers.rollbook import until

ADMIN: Final = "the-token-of-the-settings-of-this-test"
REFUSED_SECONDS: Final = 5.0
CLOSED_SECONDS: Final = 10.0


@pytest.fixture
def apis(database_url: str, redis_url: str, master_keys: str) -> Generator[tuple[Client, Client]]:
    """Administrators of two processes."""
    settings = {
        "ROLLBOOK_DATABASE_URL": database_url,
        "ROLLBOOK_MASTER_KEY": master_keys,
        "ROLLBOOK_ADMIN_TOKEN": ADMIN,
    }
    with ExitStack() as stack:
        logs = [
            stack.enter_context(role("api", **settings)),
            stack.enter_context(role("api", **settings, ROLLBOOK_REDIS_URL=redis_url)),
        ]
        first, second = (stack.enter_context(_administrator(log)) for log in logs)
        yield first, second


def test_what_is_revoked_in_one_process_is_refused_by_every_process(
    apis: tuple[Client, Client],
) -> None:
    _check_token(apis)
    _check_session(apis)


def _check_token(apis: tuple[Client, Client]) -> None:
    issued = apis[0].post("/v1/tokens", json={"name": "crm", "preset": "reader"}).json()
    token = {"Authorization": f"Bearer {issued['token']}"}
    assert [_status(api, token) for api in apis] == [200, 200]
    ticket = apis[1].post("/v1/stream/tickets", json={}, headers=token).json()["ticket"]
    with ExitStack() as stack:
        streams = [stack.enter_context(_stream(api, token=issued["token"])) for api in apis]
        streams.append(stack.enter_context(_stream(apis[0], ticket=ticket)))
        began = monotonic()
        assert apis[0].delete(f"/v1/tokens/{issued['id']}").status_code == 204
        until(lambda: {_status(api, token) for api in apis} == {401}, REFUSED_SECONDS)
        assert [_close_code(stream, began) for stream in streams] == [4401] * 3
    assert [_status(api, {}) for api in apis] == [200, 200]


def _check_session(apis: tuple[Client, Client]) -> None:
    link = apis[0].post("/auth/links", json={"name": "ada"}).json()["url"]
    code = link.partition("#signin=")[2]
    with Client(base_url=apis[0].base_url) as browser:
        signed_in = browser.post("/auth/signin", json={"code": code})
    assert signed_in.status_code == 204
    cookie = signed_in.headers["set-cookie"].partition(";")[0]
    assert [_of_session(api, cookie)["actor"] for api in apis] == ["local:ada"] * 2
    (one,) = [each for each in apis[1].get("/v1/sessions").json()["items"] if each["via"] == "link"]
    assert apis[1].delete(f"/v1/sessions/{one['id']}").status_code == 204
    until(
        lambda: {_of_session(api, cookie).get("status") for api in apis} == {401}, REFUSED_SECONDS
    )


def _administrator(log: Path) -> Client:
    headers = {"Authorization": f"Bearer {ADMIN}"}
    return Client(base_url=address_in(log), headers=headers)


def _status(api: Client, headers: dict[str, str]) -> int:
    return api.get("/v1/me", headers=headers).status_code


def _of_session(api: Client, cookie: str) -> dict[str, Any]:
    """What a person with this cookie is answered: the caller, or a problem."""
    with Client(base_url=api.base_url, headers={"Cookie": cookie}) as person:
        return person.get("/v1/me").json()


@contextmanager
def _stream(api: Client, **opening: str) -> Generator[ClientConnection]:
    with connect(f"ws://{api.base_url.host}:{api.base_url.port}/v1/stream") as socket:
        socket.send(json.dumps(opening))
        assert json.loads(socket.recv(5))["kind"] == "ready"
        yield socket


def _close_code(stream: ClientConnection, began: float) -> int | None:
    """The code with which the server closes the stream within `CLOSED_SECONDS`."""
    try:
        while True:
            stream.recv(max(0.0, began + CLOSED_SECONDS - monotonic()))
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None
