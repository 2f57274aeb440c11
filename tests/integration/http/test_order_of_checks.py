"""A command that is wrong in two ways gets the error that the contract checks first."""

from itertools import combinations, count
from typing import Any, Final

import msgspec
import pytest
from httpx2 import AsyncClient, Response
from msgspec import Struct

from tests.support.http.directory import Directory

Json = dict[str, Any]

UNKNOWN_ID: Final = "018f0000-0000-7000-8000-00000000ffff"
NUMBERS: Final = count()

# In the order of the contract: each way to be wrong, and its error when nothing else is wrong.
CHECKS: Final = {
    "route": (404, "not-found"),
    "method": (405, "method-not-allowed"),
    "token": (401, "unauthenticated"),
    "permission": (403, "forbidden"),
    "accept": (406, "not-acceptable"),
    "size": (413, "too-large"),
    "type": (415, "unsupported-media-type"),
    "syntax": (400, "malformed-request"),
    "condition": (400, "malformed-request"),
    "fields": (422, "invalid-request"),
    "key": (422, "idempotency-mismatch"),
    "missing": (404, "not-found"),
    "gone": (410, "user-deleted"),
    "version": (412, "version-conflict"),
    "claim": (409, "email-taken"),
}
# No request can be wrong in both ways, or the test cannot tell which of the two was reported.
EXCLUSIVE: Final = [
    {"route", "method"},
    {"missing", "gone"},
    {"syntax", "condition"},
    {"condition", "version"},
]


class Route(Struct, frozen=True, kw_only=True):
    """A command of the API; `unchecked` are the ways to be wrong that do not apply to it."""

    method: str
    path: str
    body: Json
    succeeds: int = 200
    actor: str = "writer"
    weaker: str = "reader"
    other_method: str = "PUT"
    unchecked: frozenset[str] = frozenset()

    @property
    def checks(self) -> list[str]:
        return [name for name in CHECKS if name not in self.unchecked]


KING: Final[Json] = {"name": "Ada King", "email": "king@{}.example"}
FULL: Final[Json] = {**KING, "role": "owner", "external_id": None, "attributes": {}}
ONE: Final = "/v1/users/{}"
NO_CLAIM: Final = frozenset({"claim"})
ROUTES: Final = {
    "register": Route(
        method="POST",
        path="/v1/users",
        body=KING,
        succeeds=201,
        unchecked=frozenset({"condition", "missing", "gone", "version"}),
    ),
    "replace": Route(method="PUT", path=ONE, body=FULL, other_method="POST"),
    "change": Route(method="PATCH", path=ONE, body=KING, other_method="POST"),
    "suspend": Route(
        method="POST", path=ONE + "/suspend", body={"reason": "leave"}, unchecked=NO_CLAIM
    ),
    "reinstate": Route(method="POST", path=ONE + "/reinstate", body={}, unchecked=NO_CLAIM),
    "restore": Route(method="POST", path=ONE + "/restore", body={}),
    "delete": Route(
        method="DELETE",
        path=ONE,
        body={"reason": "left"},
        succeeds=204,
        other_method="POST",
        unchecked=frozenset({"accept", "gone", "claim"}),
    ),
    "erase": Route(
        method="POST",
        path=ONE + "/erase",
        body={"reason": "retention"},
        actor="admin",
        weaker="writer",
        unchecked=frozenset({"gone", "claim"}),
    ),
}

# Checks that a repeat skips; the body with a changed address would be another body.
REPLAYED: Final = [
    ("register", "claim"),
    *((name, "gone") for name in ("replace", "change", "suspend", "reinstate")),
    *((name, "version") for name in ROUTES if name != "register"),
    ("restore", "claim"),
]


@pytest.mark.parametrize("route", ROUTES)
async def test_a_command_with_nothing_wrong_succeeds(directory: Directory, route: str) -> None:
    answer = await Attempt(directory, ROUTES[route]).answer()
    assert answer.status_code == ROUTES[route].succeeds


@pytest.mark.parametrize("route", ROUTES)
async def test_one_thing_wrong_is_reported(directory: Directory, route: str) -> None:
    checks = ROUTES[route].checks
    found = {w: problem_of(await Attempt(directory, ROUTES[route], w).answer()) for w in checks}
    assert found == {wrong: expected(route, wrong) for wrong in checks}


@pytest.mark.parametrize("route", ROUTES)
async def test_with_two_things_wrong_the_first_check_is_reported(
    directory: Directory, route: str
) -> None:
    pairs = [p for p in combinations(ROUTES[route].checks, 2) if {*p} not in EXCLUSIVE]
    found = {
        pair: problem_of(await Attempt(directory, ROUTES[route], *pair).answer()) for pair in pairs
    }
    assert found == {pair: expected(route, pair[0]) for pair in pairs}


@pytest.mark.parametrize(("route", "wrong"), REPLAYED)
async def test_a_repeat_is_replayed_even_if_the_user_has_changed(
    directory: Directory, route: str, wrong: str
) -> None:
    attempt = Attempt(directory, ROUTES[route])
    key = {"Idempotency-Key": "mine"}
    first = await attempt.answer(key)
    await attempt.break_user(wrong)
    stale = {"If-Match": '"99"'} if wrong == "version" else {}
    second = await attempt.send({**key, **stale})
    assert first.status_code == ROUTES[route].succeeds
    assert second.headers["Idempotency-Replayed"] == "true"
    assert (second.status_code, second.content) == (first.status_code, first.content)


async def test_a_repeat_shows_nothing_of_a_user_erased_since(directory: Directory) -> None:
    attempt = Attempt(directory, ROUTES["restore"])
    key = {"Idempotency-Key": "mine"}
    assert (await attempt.answer(key)).status_code == 200
    await attempt.break_user("gone")
    assert problem_of(await attempt.send(key)) == (410, "user-erased")


class Attempt:
    """One command that is wrong in the given ways, on its own user."""

    def __init__(self, directory: Directory, route: Route, *wrong: str) -> None:
        self._directory = directory
        self._route = route
        self._wrong = wrong
        self._number = f"n{next(NUMBERS)}"
        self._own = ""

    async def answer(self, headers: dict[str, str] | None = None) -> Response:
        """Prepare the user, send the command and return the answer."""
        await self._prepare()
        for wrong in self._wrong:
            await self.break_user(wrong)
        return await self.send(headers)

    async def send(self, headers: dict[str, str] | None = None) -> Response:
        route, wrong = self._route, self._wrong
        path = route.path.format(UNKNOWN_ID if "missing" in wrong else self._own)
        token = None if "token" in wrong else route.weaker if "permission" in wrong else route.actor
        async with self._directory.as_(token) as client:
            return await client.request(
                route.other_method if "method" in wrong else route.method,
                f"{path}/nothing/here" if "route" in wrong else path,
                content=self._body(),
                headers={**self._headers(), **(headers or {})},
            )

    async def break_user(self, wrong: str) -> None:
        """Change the user so that the command is refused."""
        restores = self._route.path.endswith("/restore")
        async with self._directory.as_("admin") as client:
            match wrong:
                case "claim" if restores:
                    await client.delete(f"/v1/users/{self._own}")
                    await self._register(client, "own")
                case "gone" if restores:
                    erased = await client.post(f"/v1/users/{self._own}/erase")
                    assert erased.status_code == 200
                case "gone":
                    assert (await client.delete(f"/v1/users/{self._own}")).status_code == 204
                case _:
                    pass

    async def _prepare(self) -> None:
        async with self._directory.as_(self._route.actor) as client:
            self._own = await self._register(client, "own")
            await self._register(client, "taken", key=self._number)
            if self._route.path.endswith("/restore"):
                assert (await client.delete(f"/v1/users/{self._own}")).status_code == 204

    async def _register(self, client: AsyncClient, name: str, key: str | None = None) -> str:
        body = {"name": "Ada", "email": f"{name}@{self._number}.example"}
        headers = {"Idempotency-Key": key} if key else {}
        answer = await client.post("/v1/users", json=body, headers=headers)
        assert answer.status_code == 201
        return answer.json()["id"]

    def _body(self) -> bytes:
        members = dict(self._route.body)
        if "fields" in self._wrong:
            members["nickname"] = "Ada"
        if "email" in members:
            address = "TAKEN@{}.example" if "claim" in self._wrong else members["email"]
            members["email"] = address.format(self._number)
        encoded = msgspec.json.encode(members)
        if "syntax" in self._wrong:
            encoded = encoded[:-1]
        if "size" in self._wrong:
            encoded += b" " * 1024 * 1024
        return encoded

    def _headers(self) -> dict[str, str]:
        sent = {"Content-Type": "text/plain" if "type" in self._wrong else "application/json"}
        if "accept" in self._wrong:
            sent["Accept"] = "text/html"
        if "key" in self._wrong:
            sent["Idempotency-Key"] = self._number
        if "version" in self._wrong:
            sent["If-Match"] = '"99"'
        if "condition" in self._wrong:
            sent["If-Match"] = "99"
        return sent


def problem_of(answer: Response) -> tuple[int, str]:
    assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.status_code, answer.json()["type"].removeprefix("/problems/")


def expected(route: str, wrong: str) -> tuple[int, str]:
    if (route, wrong) == ("restore", "gone"):
        return 410, "user-erased"
    return CHECKS[wrong]
