"""Every kind of list uses an index, in a directory where some of the values are rare."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, LiteralString
from uuid import UUID

import psycopg
import pytest
from msgspec.structs import replace

from application.projector.view_store import Slot
from application.queries.directory import ListCursor, UserList
from infrastructure.views.projector.ensure import ensure_views
from infrastructure.views.queries.user_filters import LISTED, SORT_COLUMNS
from infrastructure.views.queries.users import page_of, page_query
from infrastructure.views.sql.reader import SETTINGS
from infrastructure.views.sql.statements import Statement
from projections.registry import PROJECTIONS
from projections.users import USERS
from tests.support.servers.postgres import database

# One word that all users have, one of a third of them, one of two users of which one is deleted,
# and one that begins the names of a fifth, which therefore come last by name.
FILL: Final[LiteralString] = """
INSERT INTO users_g1 (id, version, chain, partition, shown, external_id, name, email, role, status,
    attributes, created_at, updated_at, before_deletion, name_key, email_key, email_comparable, words)
SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 1, '', 0, true, 'e-' || n,
    'x', 'x',
    CASE WHEN n % 10000 = 7 THEN 'owner' WHEN n > 27000 THEN 'contractor' ELSE 'member' END,
    CASE WHEN n < 3000 THEN 'deleted' WHEN n % 100 = 0 THEN 'suspended' ELSE 'active' END,
    '{}', now() + n * interval '1 s', now() - n * interval '1 s', 'active',
    CASE WHEN n % 5 = 0 THEN 'zeta ' ELSE '' END || md5(n::text), md5('e' || n), n || '@example.org',
    array_to_tsvector(ARRAY['0all', '0w' || n]
        || CASE WHEN n % 3 = 0 THEN ARRAY['0third'] ELSE '{}' END
        || CASE WHEN n % 5 = 0 THEN ARRAY['1zeta'] ELSE '{}' END
        || CASE WHEN n % 15000 = 9 THEN ARRAY['0rare'] ELSE '{}' END)
FROM generate_series(1, 30000) n"""
AFTER: dict[str, ListCursor] = {
    "name": ListCursor("8", UUID(int=1)),
    "email": ListCursor("8", UUID(int=1)),
    "created_at": ListCursor("1600000000000000", UUID(int=1)),
    "updated_at": ListCursor("1600000000000000", UUID(int=1)),
}
LISTS: Sequence[Mapping[str, Any]] = (
    {},
    {"roles": ("owner",)},
    {"roles": ("member",)},
    {"roles": ("contractor", "nobody")},
    {"statuses": ("suspended",)},
    {"statuses": ("active", "suspended", "deleted", "erased"), "roles": ("owner", "contractor")},
    # More statuses and roles than get an index walk each.
    {
        "statuses": ("active", "suspended", "deleted", "erased"),
        "roles": ("owner", "contractor", "nobody"),
    },
)
WORDS = ("a", "third", "zeta", "ze zet", "rare", "rare all", "nobody", "w100 a")
# A page of fifty and one more, from one index walk or a few; each row is also looked up itself.
ROWS_OF_A_LIST = 51 * (1 + 12)
ROWS_OF_A_SEARCH = 5_000
PAGES, PAGE = 3, 40


@pytest.fixture(scope="module")
def connection(postgres_url: str, migrated_template: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection with the settings of queries, to a filled table of users."""
    with database(postgres_url, migrated_template) as url:
        asyncio.run(ensure_views(url, PROJECTIONS))
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
            connection.execute(FILL)
            connection.execute("VACUUM (ANALYZE) users_g1")
            # For the session instead of one transaction.
            connection.execute(SETTINGS.replace(b"true", b"false"))
            yield connection


def rows_read(connection: psycopg.Connection[Any], **asked: Any) -> int:
    """The number of user rows that the production statement reads, all of them by an index."""
    query, parameters = page_query(UserList(**asked), Slot(USERS))
    statement = Statement.of(query)
    explain = b"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + statement.sql
    row = connection.execute(explain, {**statement.constants, **parameters}).fetchone()
    assert row is not None
    return sum(rows_of(node) for node in nodes(row[0][0]["Plan"]) if "Scan" in node["Node Type"])


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def rows_of(node: dict[str, Any]) -> int:
    assert node["Node Type"] != "Seq Scan", node
    if node.get("Relation Name") != "users_g1":
        return 0
    filtered = node.get("Rows Removed by Filter", 0)
    return round((node["Actual Rows"] + filtered) * node["Actual Loops"])


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("sort", ["name", "email", "created_at", "updated_at"])
def test_a_page_reads_a_limited_number_of_rows(
    connection: psycopg.Connection[Any], sort: Any, later: bool, descending: bool
) -> None:
    after = AFTER[sort] if later else None
    page = {"sort": sort, "descending": descending, "after": after}
    for filters in LISTS:
        assert rows_read(connection, **page, **filters) <= ROWS_OF_A_LIST, filters
    for words in WORDS:
        assert rows_read(connection, **page, words=words) <= ROWS_OF_A_SEARCH, words
        among = rows_read(connection, **page, words=words, roles=("owner",))
        assert among <= ROWS_OF_A_LIST, words


@pytest.mark.parametrize(
    ("asked", "rows"),
    [
        ({"emails": ("5000@example.org", "6000@example.org", "nobody@example.org")}, 2),
        ({"external_ids": ("e-5000", "e-x")}, 1),
        ({"ids": tuple(UUID(f"00000000-0000-7000-8000-{n:012x}") for n in range(200))}, 199),
        ({"external_ids": ("e-5000",), "words": "all", "roles": ("member",)}, 1),
    ],
    ids=["email", "external_id", "ids", "external_id and words"],
)
def test_named_users_are_looked_up_by_an_index(
    connection: psycopg.Connection[Any], asked: dict[str, Any], rows: int
) -> None:
    assert rows_read(connection, sort="name", **asked) == rows


def test_a_search_finds_rows_beyond_the_range_that_it_walks(
    connection: psycopg.Connection[Any],
) -> None:
    for descending in (False, True):
        query, parameters = page_query(
            UserList(words="RARE all", descending=descending), Slot(USERS)
        )
        statement = Statement.of(query)
        rows = connection.execute(statement.sql, {**statement.constants, **parameters}).fetchall()
        found = [row[1] for row in rows]
        assert found == ["e-15009"]


@pytest.mark.parametrize("descending", [False, pytest.param(True, marks=pytest.mark.long)])
@pytest.mark.parametrize("sort", ["name", "email", "created_at"])
def test_a_search_finds_the_same_rows_as_a_plain_scan(
    connection: psycopg.Connection[Any], sort: Any, descending: bool
) -> None:
    for words in WORDS:
        for filters in (LISTS[0], *LISTS[-2:]):
            asked = UserList(words=words, sort=sort, descending=descending, limit=PAGE, **filters)
            assert pages(connection, asked) == by_plain_scan(connection, asked), (words, filters)


def pages(connection: psycopg.Connection[Any], asked: UserList) -> list[UUID]:
    """The users on the first three pages."""
    found: list[UUID] = []
    for _ in range(PAGES):
        query, parameters = page_query(asked, Slot(USERS))
        statement = Statement.of(query)
        rows = connection.execute(statement.sql, {**statement.constants, **parameters}).fetchall()
        page = page_of(asked, rows)
        found += [user.id for user in page.items]
        if page.next is None:
            break
        asked = replace(asked, after=page.next)
    return found


def by_plain_scan(connection: psycopg.Connection[Any], asked: UserList) -> list[UUID]:
    """The users that should be there, by a plain scan."""
    key, way = SORT_COLUMNS[asked.sort], "DESC" if asked.descending else "ASC"
    prefixes = [f"(^| )[0-3]{word}" for word in (asked.words or "").split()]
    plain = f"""
        SELECT id FROM users_g1
        WHERE status = ANY(%s) AND (%s OR role = ANY(%s))
          AND array_to_string(tsvector_to_array(words), ' ') ~ ALL(%s)
        ORDER BY {key} {way}, id {way} LIMIT {PAGES * PAGE}"""
    roles = list(asked.roles)
    given = (list(asked.statuses or LISTED), not roles, roles, prefixes)
    return [row[0] for row in connection.execute(plain.encode(), given).fetchall()]
