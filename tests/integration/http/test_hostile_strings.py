"""Strings that often break software are returned unchanged or refused by a rule; nothing fails."""

import asyncio
import unicodedata
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from itertools import count
from typing import Any, Final
from urllib.parse import quote

import pytest
from httpx2 import AsyncClient, Response

from interfaces.http.protocol.fields import list_of_one
from projections.folding import search_words
from tests.support.hostile.strings import hostile_strings
from tests.support.http.in_process import in_process

MAX_CONCURRENT: Final = 32
NUMBERS: Final = count()
MAX_TRIES: Final = 10
Json = dict[str, Any]


class Busy(Exception):
    """The server was busy and recorded nothing; the test tries again."""


@pytest.fixture
async def client(database_url: str) -> AsyncGenerator[AsyncClient]:
    async with in_process(database_url) as client:
        client.event_hooks["response"] = [raise_if_busy]
        yield client


async def raise_if_busy(answer: Response) -> None:
    """Raises `Busy` if the server answers 503; nothing was recorded then."""
    if answer.status_code == 503:
        await answer.aread()
        assert answer.json()["type"] in ("/problems/overloaded", "/problems/unavailable")
        raise Busy


@pytest.fixture(scope="module")
def strings() -> Sequence[str]:
    return hostile_strings()


async def test_as_names_they_are_returned_normalised_or_refused(
    client: AsyncClient, strings: Sequence[str]
) -> None:
    accepted = await accepted_of(client, strings, "#/name", lambda text: {"name": text})
    assert len(accepted) > 400
    for user, text in accepted:
        assert user["name"] == unicodedata.normalize("NFC", text.strip())
    await assert_shown_everywhere(client, [user for user, _ in accepted])


async def test_as_attributes_they_are_returned_unchanged_or_refused(
    client: AsyncClient, strings: Sequence[str]
) -> None:
    def attributes(text: str) -> Json:
        return {"attributes": {"value": text, "list": [text], f"{text}": {f"{text}": text}}}

    fitting = [text for text in strings if 1 <= len(text) <= 128]
    accepted = await accepted_of(client, fitting, "#/attributes", attributes)
    assert len(accepted) == len(fitting)
    for user, text in accepted:
        assert user["attributes"] == attributes(text)["attributes"]
    await assert_shown_everywhere(client, [user for user, _ in accepted])


async def test_as_keys_of_the_wrong_length_they_are_refused(
    client: AsyncClient, strings: Sequence[str]
) -> None:
    long = [text for text in strings if not 1 <= len(text) <= 128]
    keys = await accepted_of(client, long, "#/attributes", lambda text: {"attributes": {text: 1}})
    assert (len(long) > 1, keys) == (True, [])
    values = await accepted_of(client, long, "", lambda text: {"attributes": {"value": text}})
    assert [user["attributes"]["value"] for user, _ in values] == long


async def test_as_external_ids_they_are_found_or_refused(
    client: AsyncClient, strings: Sequence[str]
) -> None:
    different = list(dict.fromkeys(strings))
    accepted = await accepted_of(
        client, different, "#/external_id", lambda text: {"external_id": text}
    )
    assert len(accepted) > 400

    async def assert_found(pair: tuple[Json, str]) -> None:
        user, text = pair
        assert user["external_id"] == text
        answer = await client.get("/v1/users", params={"external_id": list_of_one(text)})
        assert [found["id"] for found in answer.json()["items"]] == [user["id"]]

    await concurrently(assert_found, accepted)


async def test_as_addresses_they_are_stored_or_refused(
    client: AsyncClient, strings: Sequence[str]
) -> None:
    for pattern in ("{}", "{}@example.org", "ada@{}.example"):
        texts = list(dict.fromkeys(pattern.format(text) for text in strings))
        answers = await concurrently(
            lambda text: client.post("/v1/users", json={"name": "Ada", "email": text}), texts
        )
        for answer, text in zip(answers, texts, strict=True):
            if answer.status_code == 201:
                assert answer.json()["email"] == unicodedata.normalize("NFC", text.strip())
            else:
                # Some differ only in case or width, and are the same address.
                assert_refused(answer, "#/email", text, taken="email-taken")


async def test_as_reasons_they_are_recorded_or_refused(
    client: AsyncClient, strings: Sequence[str]
) -> None:
    users = await accepted_of(client, strings, "", lambda _: {})

    async def suspend(pair: tuple[Json, str]) -> Response:
        path = f"/v1/users/{pair[0]['id']}/suspend"
        return await client.post(path, json={"reason": pair[1]})

    answers = await concurrently(suspend, users)
    recorded = {event["subject"]: event["data"] for event in await events(client, "user.suspended")}
    for answer, (user, text) in zip(answers, users, strict=True):
        if answer.status_code == 200:
            stored = unicodedata.normalize("NFC", text.strip()) or None
            assert recorded[user["id"]].get("reason") == stored
        else:
            assert_refused(answer, "#/reason", text)


async def test_as_search_words_they_find_the_user_with_that_name(
    client: AsyncClient, strings: Sequence[str]
) -> None:
    accepted = await accepted_of(client, strings, "#/name", lambda text: {"name": text})
    named = {text: user["id"] for user, text in accepted}

    async def search(text: str) -> None:
        answer = await client.get("/v1/users", params={"q": text, "limit": 200})
        if answer.status_code != 200:
            assert_refused(answer, "q", text)
        elif not search_words([text]):
            assert answer.json()["items"] == [], text
        elif text in named and answer.json()["next_cursor"] is None:
            assert named[text] in {user["id"] for user in answer.json()["items"]}, text

    await concurrently(search, strings)


@pytest.mark.parametrize(
    "parameter", ["email", "ids", "role", "status", "sort", "limit", "cursor", "unknown"]
)
async def test_as_parameters_they_are_refused(
    client: AsyncClient, strings: Sequence[str], parameter: str
) -> None:
    async def ask(text: str) -> None:
        answer = await client.get("/v1/users", params={parameter: text})
        # A few of the strings are valid numbers and slugs.
        if answer.status_code != 200:
            assert_refused(answer, parameter, text)

    await concurrently(ask, strings)


async def test_in_paths_they_are_not_found(client: AsyncClient, strings: Sequence[str]) -> None:
    async def ask(text: str) -> None:
        answer = await client.delete(f"/v1/users/{quote(text, safe='')}")
        assert answer.status_code in (404, 405), text
        assert answer.headers["Content-Type"] == "application/problem+json"

    await concurrently(ask, strings)


@pytest.mark.parametrize("header", ["Idempotency-Key", "Rollbook-On-Behalf-Of", "If-Match"])
async def test_as_headers_they_are_accepted_or_refused(
    client: AsyncClient, strings: Sequence[str], header: str
) -> None:
    (user, _), *_ = await accepted_of(client, ["Ada"], "", lambda text: {"name": text})

    async def ask(text: str) -> None:
        headers = {header.encode(): text.encode(), b"X-Request-ID": text.encode()}
        answer = await client.patch(f"/v1/users/{user['id']}", json={}, headers=headers)
        if answer.status_code not in (200, 412):
            assert_refused(answer, header, text)

    await concurrently(ask, strings)


async def accepted_of(
    client: AsyncClient, texts: Sequence[str], pointer: str, fields: Callable[[str], Json]
) -> list[tuple[Json, str]]:
    """Register a user for each text; returns the accepted ones, asserts that the others are refused."""

    async def register(text: str) -> Response:
        body = {"name": "Ada", "email": f"user{next(NUMBERS)}@example.org", **fields(text)}
        return await client.post("/v1/users", json=body)

    accepted: list[tuple[Json, str]] = []
    for answer, text in zip(await concurrently(register, texts), texts, strict=True):
        if answer.status_code == 201:
            accepted.append((answer.json(), text))
        else:
            assert_refused(answer, pointer, text)
    return accepted


def assert_refused(answer: Response, pointer: str, text: str, taken: str = "") -> None:
    """Asserts that a rule refused the text, at this pointer."""
    problem = answer.json()
    if taken and answer.status_code == 409:
        assert problem["type"] == f"/problems/{taken}"
        return
    assert answer.status_code in (400, 422), (text, problem)
    if answer.status_code == 422:
        assert {error["pointer"] for error in problem["errors"]} == {pointer}, text


async def assert_shown_everywhere(client: AsyncClient, users: Sequence[Json]) -> None:
    """Asserts that views and log show the same users as the answers of the commands."""
    shown: list[Json] = []
    for begin in range(0, len(users), 200):
        ids = ",".join(user["id"] for user in users[begin : begin + 200])
        answer = await client.get("/v1/users", params={"ids": ids, "limit": 200})
        shown += answer.json()["items"]
    assert sorted(shown, key=lambda user: user["id"]) == sorted(users, key=lambda user: user["id"])
    recorded = {event["subject"]: event["data"] for event in await events(client, "user.*")}
    for user in users:
        assert recorded[user["id"]]["name"] == user["name"]
        assert recorded[user["id"]].get("attributes", {}) == user["attributes"]


async def events(client: AsyncClient, types: str) -> list[Json]:
    answer = await client.get("/v1/events", params={"types": types, "limit": 1000})
    assert len(answer.json()["items"]) < 1000
    return answer.json()["items"]


async def concurrently(do: Callable[[Any], Awaitable[Any]], each: Iterable[Any]) -> list[Any]:
    """Runs up to `MAX_CONCURRENT` calls at a time, so that they share commits."""
    semaphore = asyncio.Semaphore(MAX_CONCURRENT)

    async def one(item: Any) -> Any:
        async with semaphore:
            for _ in range(MAX_TRIES):
                with suppress(Busy):
                    return await do(item)
            raise Busy

    return await asyncio.gather(*(one(item) for item in each))
