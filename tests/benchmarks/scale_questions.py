"""The queries of `at_scale`: every kind of list, search, history and audit, as paths."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final
from urllib.parse import urlencode

import psycopg
from msgspec import Struct

from infrastructure.views.sql.tables import table_names
from tests.benchmarks.http_load import request
from tests.benchmarks.open_loop import Client
from tests.benchmarks.population import RARE_WORD
from tests.benchmarks.processes import TOKEN
from tests.benchmarks.seeding import COMMON_ACTOR, RARE_ACTOR, START

_SORTS: Final = ("name", "email", "created_at", "updated_at")
_WORDS: Final = {
    "one letter": "a",
    "a common prefix": "ann",
    "a rare word": RARE_WORD,
    "two words": "ann be",
    "a rare word and a word that all users have": f"{RARE_WORD} example",
}
_FILTERS: Final[Mapping[str, Mapping[str, str]]] = {
    "all": {},
    "a rare role": {"role": "owner"},
    "a common role": {"role": "member"},
    "the role of the newest users": {"role": "contractor"},
    "suspended": {"status": "suspended"},
    "two roles, all statuses": {"role": "owner,manager", "status": "active,suspended,deleted"},
}
_SOME: Final = 20
_SAMPLE: Final = """
SELECT id::text, email, external_id FROM {table} TABLESAMPLE SYSTEM (5)
WHERE status = 'active' LIMIT 200"""

Paths = Sequence[str]


class Sampled(Struct, frozen=True):
    """Values of some active users."""

    ids: Sequence[str]
    emails: Sequence[str]
    external_ids: Sequence[str]


async def sampled(url: str) -> Sampled:
    """A sample from the serving generation."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        serving = "SELECT generation FROM projections WHERE name = 'users'"
        row = await (await connection.execute(serving)).fetchone()
        assert row is not None
        table, _ = table_names("users", row[0])
        rows = await (await connection.execute(_SAMPLE.format(table=table).encode())).fetchall()
    return Sampled(*zip(*rows, strict=True))


async def questions(client: Client, users: Sampled, events: int) -> dict[str, Paths]:
    """The paths of each query, by its name; a benchmark requests the paths in turn."""
    found: dict[str, Paths] = {}
    for name, filters in _FILTERS.items():
        for sort in (*_SORTS, "-name", "-created_at"):
            found[f"list of {name} by {sort}"] = [_users(sort=sort, **filters)]
    for name, words in _WORDS.items():
        for sort in (*_SORTS, "-name"):
            found[f"search for {name} by {sort}"] = [_users(sort=sort, q=words)]
    found["search for one letter among a rare role"] = [_users(q="a", role="owner")]
    for sort in _SORTS:
        found[f"page 6 by {sort}"] = [await _page(client, _users(sort=sort), 6)]
    found["page 3 of a search by name"] = [await _page(client, _users(sort="name", q="an"), 3)]
    found |= _single(users)
    found |= _audit(users, events)
    found["stats"] = ["/v1/stats"]
    return found


def _single(users: Sampled) -> dict[str, Paths]:
    return {
        "email=": [_users(email=email) for email in users.emails[:_SOME]],
        "external_id=": [_users(external_id=value) for value in users.external_ids[:_SOME]],
        "ids= of 200": [_users(ids=",".join(users.ids), limit="200")],
        "one user": [f"/v1/users/{user}" for user in users.ids[:_SOME]],
        "history": [f"/v1/users/{user}/history" for user in users.ids[:_SOME]],
        "blame": [f"/v1/users/{user}/blame" for user in users.ids[:_SOME]],
    }


def _audit(users: Sampled, events: int) -> dict[str, Paths]:
    def moment(position: int) -> str:
        return (START + timedelta(seconds=position)).isoformat().replace("+00:00", "Z")

    middle = events // 2
    span = {"from": moment(middle), "to": moment(middle + 3600)}
    return {
        "audit": [_path("audit")],
        "audit by a common actor": [_path("audit", actor=COMMON_ACTOR)],
        "audit by a rare actor": [_path("audit", actor=RARE_ACTOR)],
        "audit by time": [_path("audit", **span)],
        "audit by actor and time": [_path("audit", actor=COMMON_ACTOR, **span)],
        "audit by user": [_path("audit", user=user) for user in users.ids[:_SOME]],
        "audit by address": [_path("audit", user=email) for email in users.emails[:_SOME]],
        "audit by a common type": [_path("audit", types="user.email_changed")],
        "audit by a type without events": [_path("audit", types="user.erased")],
        "audit by on_behalf_of": [_path("audit", on_behalf_of="hr")],
        "audit by an unknown on_behalf_of": [_path("audit", on_behalf_of="nobody")],
        "audit by request": [_path("audit", correlation_id="request-1")],
    }


def _users(**parameters: str) -> str:
    return _path("users", **parameters)


def _path(what: str, **parameters: str) -> str:
    return f"/v1/{what}?{urlencode(parameters)}"


async def _page(client: Client, path: str, number: int) -> str:
    """The path of a later page of a list."""
    later = path
    for _ in range(number - 1):
        reply = await client.ask(request("GET", later, TOKEN))
        cursor = reply.body.rpartition(b'"next_cursor":"')[2].partition(b'"')[0].decode()
        later = f"{path}&{urlencode({'cursor': cursor})}"
    return later
