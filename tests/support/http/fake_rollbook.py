"""An in-memory API with the routes that an import needs, and with failures on demand."""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from domain.attributes import merged
from domain.email import comparable_address
from domain.errors import InvalidValue
from domain.values import EmailAddress, PersonName
from interfaces.http.protocol.fields import split_list

TOKEN = "a token that only tests know, long enough"


class FakeRollbook:
    """An ASGI application. It answers with the `failures` first, in order, and calls `before` with
    each request after them."""

    def __init__(self) -> None:
        self.users: dict[str, dict[str, Any]] = {}
        self.gone: dict[str, str] = {}
        self.keys: dict[str, tuple[bytes, str]] = {}
        self.import_keys: dict[str | None, str] = {}
        self.failures = deque[Response]()
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.queries: list[str] = []
        self.before: Callable[[str, str], None] = lambda _method, _path: None

    @property
    def commands(self) -> list[tuple[str, str, dict[str, str]]]:
        return [request for request in self.requests if request[0] != "GET"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope, receive)
            # As over a network, others go on in the meantime.
            await asyncio.sleep(0)
            response = self._answer(request, await request.body())
            await response(scope, receive, send)

    def _answer(self, request: Request, body: bytes) -> Response:
        path = request.url.path
        if path == "/health/live":
            return JSONResponse({})
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return problem(401, "unauthenticated", "The token is not known.")
        if path == "/v1/me":
            return JSONResponse({"permissions": ["admin"]})
        self.requests.append((request.method, path, dict(request.headers)))
        self.queries.append(request.url.query)
        if self.failures:
            return self.failures.popleft()
        self.before(request.method, path)
        match request.method, path.split("/")[3:]:
            case "POST", []:
                return self._register(body, request.headers["idempotency-key"])
            case "GET", []:
                return self._list(request.query_params)
            case "GET", [user_id]:
                return self._one(user_id)
            case "PATCH", [user_id]:
                return self._patch(user_id, json.loads(body), request.headers["if-match"])
            case _:
                return problem(404, "not-found", "Not found.")

    def _register(self, body: bytes, key: str) -> Response:
        if key in self.keys:
            first, user_id = self.keys[key]
            assert first == body
            return JSONResponse(self.users[user_id], 201, {"Idempotency-Replayed": "true"})
        user: dict[str, Any] = json.loads(body)
        known = self.import_keys.get(user.pop("import_key", None))
        if known is not None:
            if self.gone.get(known) == "erased":
                return problem(410, "user-erased", "The user is erased.")
            return problem(409, "user-exists", "A user with this import key exists.")
        if (refusal := self._refusal("", user)) is not None:
            return refusal
        user_id = str(uuid4())
        self.users[user_id] = {
            **user,
            "id": user_id,
            "version": 1,
            "role": "member",
            "status": "active",
        }
        self.keys[key] = (body, user_id)
        self.import_keys[json.loads(body).get("import_key")] = user_id
        return JSONResponse(self.users[user_id], 201, {"Rollbook-Position": str(len(self.users))})

    def _patch(self, user_id: str, patch: dict[str, Any], if_match: str) -> Response:
        user = self.users[user_id]
        if if_match != f'"{user["version"]}"':
            return problem(412, "version-conflict", "Another version.")
        changed = merged(user, patch)
        if (refusal := self._refusal(user_id, changed)) is not None:
            return refusal
        self.users[user_id] = {**changed, "version": user["version"] + 1}
        return JSONResponse(self.users[user_id])

    def _refusal(self, user_id: str, user: dict[str, Any]) -> Response | None:
        for field, parse in (("name", PersonName.parse), ("email", EmailAddress.parse)):
            try:
                parse(user[field])
            except InvalidValue as error:
                errors = [{"pointer": f"#/{field}", "detail": error.reason}]
                return problem(422, "invalid-request", "A field is invalid.", errors=errors)
        for other in self._present_users():
            if other["id"] == user_id:
                continue
            if comparable_address(other["email"]) == comparable_address(user["email"]):
                return problem(409, "email-taken", "Another user holds this value.")
            if user["external_id"] is not None and other["external_id"] == user["external_id"]:
                return problem(409, "external-id-taken", "Another user holds this value.")
        return None

    def _list(self, filters: Any) -> Response:
        asked = split_list(filters.get("status", "active,suspended"))
        users = [user for user in self._all_users() if user["status"] in asked]
        if "email" in filters:
            addresses = {comparable_address(text) for text in split_list(filters["email"])}
            users = [user for user in users if comparable_address(user["email"]) in addresses]
        if "external_id" in filters:
            wanted = split_list(filters["external_id"])
            users = [user for user in users if user["external_id"] in wanted]
        return JSONResponse({"items": users, "next_cursor": None, "position": 0})

    def _one(self, user_id: str) -> Response:
        if user_id in self.gone:
            return problem(410, "user-deleted", "The user is deleted.")
        return JSONResponse(self.users[user_id])

    def _all_users(self) -> list[dict[str, Any]]:
        """Each with its status; `gone` may also hide a user from the list."""
        return [
            {**user, "status": self.gone.get(user["id"], "active")} for user in self.users.values()
        ]

    def _present_users(self) -> list[dict[str, Any]]:
        return [user for user in self._all_users() if user["status"] == "active"]


def problem(status: int, slug: str, detail: str, **facts: Any) -> Response:
    """A problem as in the API contract; `retry_after` becomes the header."""
    retry_after = facts.pop("retry_after", None)
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    body = {"type": f"/problems/{slug}", "title": slug, "status": status, "detail": detail}
    return JSONResponse({**body, **facts}, status, headers, "application/problem+json")
