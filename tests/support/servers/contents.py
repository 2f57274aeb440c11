"""All that a running Rollbook holds: its users and its events, over HTTP."""

from typing import Any

import httpx2

from tests.support.servers.rollbook import RunningRollbook


def all_users(client: httpx2.Client) -> list[dict[str, Any]]:
    users: list[dict[str, Any]] = []
    parameters = {"limit": "100"}
    while True:
        page = client.get("/v1/users", params=parameters).raise_for_status().json()
        users += page["items"]
        if page["next_cursor"] is None:
            return users
        parameters["cursor"] = page["next_cursor"]


def events_of(rollbook: RunningRollbook) -> list[dict[str, Any]]:
    with client_of(rollbook) as client:
        return all_events(client)


def client_of(rollbook: RunningRollbook) -> httpx2.Client:
    headers = {"Authorization": f"Bearer {rollbook.token}"}
    return httpx2.Client(base_url=rollbook.url, headers=headers, trust_env=False)


def all_events(client: httpx2.Client) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    after = 0
    while True:
        parameters = {"after": after, "limit": 1000}
        page = client.get("/v1/events", params=parameters).raise_for_status().json()
        if not page["items"]:
            return events
        events += page["items"]
        after = page["next_after"]
