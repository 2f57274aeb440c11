"""Opening a stream: authentication, permissions, and the close codes of refusals."""

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace

from application.errors import PositionGone, Unavailable
from application.identity import PRESETS, Principal
from application.log.event_log import FeedPage
from tests.support.http.directory import LOG_ID
from tests.support.http.streaming import (
    StreamingDirectory,
    closed,
    events,
    frame,
    served,
    stream_socket,
    streaming,
)

READER = Principal(actor="token:reader", permissions=PRESETS["reader"])


async def test_the_first_frame_says_where_the_stream_begins(
    directory: StreamingDirectory, url: str
) -> None:
    await directory.register(3)
    async with streaming(url, after=1) as stream:
        assert await frame(stream) == {
            "kind": "ready",
            "log": str(LOG_ID),
            "position": 1,
            "head": 3,
            "heartbeat_seconds": 0.2,
        }


@pytest.mark.parametrize("after", [{}, {"after": None}])
async def test_without_a_position_only_new_events_are_sent(
    directory: StreamingDirectory, url: str, after: dict[str, Any]
) -> None:
    await directory.register(2)
    async with streaming(url, **after) as stream:
        assert (await frame(stream))["position"] == 2
        await directory.register()
        assert [event["position"] for event in await events(stream, 1)] == ["3"]


async def test_a_ticket_opens_one_stream(directory: StreamingDirectory, url: str) -> None:
    ticket = (await directory.services.tickets.issue(READER)).ticket
    async with streaming(url, token=None, ticket=ticket) as stream:
        assert (await frame(stream))["kind"] == "ready"
    async with streaming(url, token=None, ticket=ticket) as again:
        assert (await closed(again))[0] == 4401


async def test_a_ticket_of_the_api_has_the_permissions_of_its_caller(
    directory: StreamingDirectory, url: str
) -> None:
    await directory.register()
    async with directory.as_("watcher") as watcher:
        answer = await watcher.post("/v1/stream/tickets")
    assert answer.status_code == 201
    async with streaming(url, token=None, ticket=answer.json()["ticket"], after=0) as stream:
        assert [event["personal"] for event in await events(stream, 1)] == ["sealed"]


async def test_a_stream_can_be_opened_by_header_and_query_parameters(
    directory: StreamingDirectory, url: str
) -> None:
    await directory.promote()
    query = "?after=0&types=user.role_changed,user.renamed"
    async with stream_socket(url, query, token="reader") as stream:
        assert (await frame(stream))["kind"] == "ready"
        assert [event["type"] for event in await events(stream, 1)] == ["user.role_changed"]


@pytest.mark.parametrize(
    "first",
    [
        "",
        "{",
        "[]",
        '"token"',
        "\0",
        '{"token": "reader", "after": -1}',
        '{"token": "reader", "token": "admin"}',
        '{"token": "reader", "after": 1, "after": 2}',
        '{"token": "reader", "types": ["user.role-changed"]}',
        '{"token": "reader", "types": ["nothing.*"]}',
        '{"token": "reader", "after": "7"}',
        '{"token": "reader", "after": 1.5}',
        '{"token": "reader", "after": 99999999999999999999}',
        '{"token": "reader", "types": "user.*"}',
        '{"token": "reader", "user": "ada"}',
        '{"token": "reader", "since": 1}',
        '{"token": "reader", "ticket": "both"}',
        json.dumps({"token": "reader", "types": ["x"] * 201}),
        json.dumps({"token": "x" * 20_000}),
    ],
)
async def test_a_wrong_first_message_is_refused(url: str, first: str) -> None:
    async with stream_socket(url) as stream:
        await stream.send(first)
        code, reason = await closed(stream)
        assert code == 4400
        assert reason


@pytest.mark.parametrize(
    "query",
    [
        "?after=x",
        "?after=-1",
        "?user=ada",
        "?since=1",
        "?after=1&after=2",
        "?types=%FF",
        "?%00=1",
        "?types=user.role-changed",
    ],
)
async def test_wrong_parameters_are_refused(url: str, query: str) -> None:
    async with stream_socket(url, query, token="reader") as stream:
        assert (await closed(stream))[0] == 4400


async def test_parameters_without_a_header_are_refused(url: str) -> None:
    async with stream_socket(url, "?after=1") as stream:
        assert (await closed(stream))[0] == 4400


@pytest.mark.parametrize(
    "first",
    [
        {"token": "wrong"},
        {"token": ""},
        {"token": "\ud800"},
        {"token": None},
        {"token": None, "ticket": "wrong"},
    ],
)
async def test_an_unknown_token_or_ticket_is_refused(url: str, first: dict[str, Any]) -> None:
    async with streaming(url, **first) as stream:
        assert (await closed(stream))[0] in (4400, 4401)


@pytest.mark.parametrize("token", ["wrong", ""])
async def test_an_unknown_token_in_the_header_is_refused(url: str, token: str) -> None:
    async with stream_socket(url, token=token) as stream:
        assert (await closed(stream))[0] == 4401


async def test_a_stream_needs_the_permission_to_read_events(url: str) -> None:
    async with streaming(url, token="nobody") as stream:
        assert await closed(stream) == (4403, "This needs the permission events:read.")


async def test_a_client_that_sends_no_first_message_is_disconnected(url: str) -> None:
    async with stream_socket(url) as stream:
        assert await closed(stream) == (4408, "Nothing was sent within 0.3 s.")


async def test_a_position_above_the_head_is_refused(url: str) -> None:
    async with streaming(url, after=7) as stream:
        assert await closed(stream) == (4400, "after is above the head of the log, 0.")


async def test_a_position_lost_in_a_restore_gives_the_position_to_resume_after(
    directory: StreamingDirectory, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(after: int, limit: int) -> FeedPage:
        raise PositionGone(40)

    monkeypatch.setattr(directory.log, "read", gone)
    async with streaming(url, after=50) as stream:
        assert await closed(stream) == (4410, "resume_after=40")


async def test_a_stream_of_an_unavailable_log_closes_with_try_again_later(
    directory: StreamingDirectory, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable() -> int:
        raise Unavailable

    monkeypatch.setattr(directory.log, "head", unavailable)
    async with streaming(url) as stream:
        assert (await closed(stream))[0] == 1013


async def test_a_fault_of_the_server_closes_with_an_internal_error(
    directory: StreamingDirectory, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory.log, "head", None)
    async with streaming(url) as stream:
        assert (await closed(stream))[0] == 1011


async def test_a_token_has_a_limited_number_of_streams() -> None:
    directory = StreamingDirectory(max_streams=2)
    async with served(directory.app) as url:
        async with streaming(url) as first, streaming(url) as second:
            await frame(first)
            await frame(second)
            async with streaming(url) as third:
                assert await closed(third) == (4429, "2 streams are open already.")
            async with streaming(url, token="admin") as another:
                assert (await frame(another))["kind"] == "ready"
        async with streaming(url) as again:
            assert (await frame(again))["kind"] == "ready"


@pytest.mark.parametrize("way", ["token", "ticket"])
async def test_a_stream_closes_when_its_caller_is_revoked(
    directory: StreamingDirectory, url: str, way: str
) -> None:
    crm = directory.tokens.add("crm", replace(READER, actor="token:crm"))
    opening = {"token": "crm"}
    if way == "ticket":
        opening = {"token": None, "ticket": (await directory.services.tickets.issue(crm)).ticket}
    async with streaming(url, **opening) as stream, streaming(url) as other:
        assert (await frame(stream))["kind"] == "ready"
        assert (await frame(other))["kind"] == "ready"
        directory.tokens.revoke("crm")
        await directory.callers.check()
        async with asyncio.timeout(10):
            assert (await closed(stream))[0] == 4401
        await directory.register()
        assert len(await events(other, 1)) == 1


async def test_a_ticket_of_a_token_that_was_revoked_meanwhile_opens_nothing(
    directory: StreamingDirectory, url: str
) -> None:
    crm = directory.tokens.add("crm", replace(READER, actor="token:crm"))
    ticket = (await directory.services.tickets.issue(crm)).ticket
    directory.tokens.revoke("crm")
    async with streaming(url, token=None, ticket=ticket) as stream:
        assert (await closed(stream))[0] == 4401
