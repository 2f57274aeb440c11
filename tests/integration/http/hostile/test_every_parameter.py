"""Each parameter, header and member of a body with hostile values: refused by a rule, or harmless."""

from collections.abc import AsyncGenerator
from typing import Any, Final

import pytest
from httpx2 import AsyncClient, Response
from structlog.testing import capture_logs

from interfaces.http.app import OPERATIONS
from interfaces.http.endpoint.document import document
from interfaces.http.protocol.problems import PROBLEMS
from tests.support.hostile.generated import Attack, attacks
from tests.support.hostile.values import MARK, SQL
from tests.support.http.directory import ADA, Directory, registered
from tests.support.http.in_process import in_process
from tests.support.views.directory import execute

Json = dict[str, Any]
BY_NAME: Final = {operation.name: operation for operation in OPERATIONS}
STATUSES: Final = {kind.slug: kind.status for kind in PROBLEMS.values()}
# It is the state of the servers, which a directory in memory has none of.
MAY_FAIL: Final = {"read_readiness": {503}}


@pytest.fixture
async def client() -> AsyncGenerator[AsyncClient]:
    async with Directory().as_("admin") as client:
        yield client


@pytest.fixture(scope="module")
def description() -> Json:
    """The OpenAPI document, which takes a tenth of a second to make."""
    return document(Directory().app, OPERATIONS, "1.2.3")


async def sent(client: AsyncClient, attack: Attack) -> Response:
    return await client.request(
        attack.method, attack.url, headers=list(attack.headers), content=attack.content
    )


def wrong_with(answer: Response, attack: Attack, may_fail: set[int]) -> str | None:
    """What no answer may be; None if it is none of that."""
    status = answer.status_code
    if status >= 500 and status not in may_fail:
        return f"is {status}"
    for name, value in answer.headers.items():
        # Only the end of a session sets a cookie here: an empty one.
        if name == "x-injected" or (name == "set-cookie" and "session=;" not in value):
            return f"has the header {name}"
        # The contract: the id of a request is echoed, if it is visible ASCII.
        if MARK in value and (name != "x-request-id" or not value.isprintable()):
            return f"reflects the value in {name}"
    if status < 400:
        return None
    if answer.headers["Content-Type"] != "application/problem+json":
        return f"is {answer.headers['Content-Type']}"
    problem = answer.json()
    slug = problem["type"].removeprefix("/problems/")
    if STATUSES.get(slug) != status:
        return f"is {status} {slug}"
    if status == 422 and slug == "invalid-request" and not problem["errors"]:
        return "names no error"
    return None


@pytest.mark.parametrize("name", BY_NAME)
async def test_no_value_makes_an_operation_fail_or_gets_into_a_header(
    client: AsyncClient, description: Json, name: str
) -> None:
    operation = BY_NAME[name]
    found = list[str]()
    with capture_logs() as logs:
        for attack in attacks(description, operation.path, operation.method):
            answer = await sent(client, attack)
            wrong = wrong_with(answer, attack, MAY_FAIL.get(name, set()))
            if wrong is not None:
                found.append(f"{attack.place}: {attack.url[:80]} {attack.content!r:.80} {wrong}")
    assert found == []
    assert [line["event"] for line in logs if line["event"] == "request_failed"] == []
    assert MARK not in str(logs)


async def test_no_value_reaches_a_statement_of_postgres(
    database_url: str, description: Json
) -> None:
    """On real tables: nothing is read, dropped, delayed or answered with a fault."""
    count = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
    async with in_process(database_url) as client:
        user = await registered(client, **ADA)
        tables = await execute(database_url, count)
        for operation in OPERATIONS:
            for attack in attacks(description, operation.path, operation.method, SQL):
                answer = await sent(client, attack)
                wrong = wrong_with(answer, attack, MAY_FAIL.get(operation.name, set()))
                assert wrong is None, (operation.name, attack.place, attack.url, wrong)
                assert "subject_keys" not in answer.text.replace(attack.url, "")
        assert await execute(database_url, count) == tables
        assert (await client.get(f"/v1/users/{user['id']}")).json()["name"] == user["name"]
