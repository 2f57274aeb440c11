"""Import of one row into a Rollbook that fails, for a while or permanently."""

import httpx2
import pytest
from starlette.responses import HTMLResponse

from interfaces.cli.client.client import Remote, Stopped
from interfaces.cli.ldif_import.order import Outcome
from interfaces.cli.target.connection import Connection
from tests.support.cli.rows import FakeSleep, Runs, row
from tests.support.http.fake_rollbook import TOKEN, FakeRollbook, problem


async def test_a_server_error_refuses_only_that_row(server: FakeRollbook, runs: Runs):
    server.failures.append(problem(500, "internal", "The server could not answer."))
    run = runs()
    assert await run.settle(row()) == Outcome(1, "refused", "The server could not answer")
    assert await run.settle(row()) == Outcome(1, "created")


@pytest.mark.parametrize(
    ("status", "slug"),
    [
        (503, "unavailable"),
        (503, "outcome-unknown"),
        (503, "overloaded"),
        (429, "rate-limited"),
        (409, "conflict"),
    ],
)
async def test_a_temporary_failure_is_retried_with_the_same_key(
    server: FakeRollbook, runs: Runs, waits: FakeSleep, status: int, slug: str
):
    server.failures += [problem(status, slug, "Later.", retry_after=2) for _ in range(4)]
    assert await runs().settle(row()) == Outcome(1, "created")
    assert len({headers["idempotency-key"] for _, _, headers in server.commands}) == 1
    assert waits.asked == [2, 2, 2, 2]


async def test_without_retry_after_the_waits_grow(
    server: FakeRollbook, runs: Runs, waits: FakeSleep
):
    server.failures += [problem(503, "unavailable", "Later.") for _ in range(4)]
    await runs().settle(row())
    assert waits.asked == [0.25, 0.5, 1, 2]


async def test_a_permanent_failure_stops_the_run(
    server: FakeRollbook, runs: Runs, waits: FakeSleep
):
    server.failures += [problem(503, "unavailable", "Not now.") for _ in range(50)]
    with pytest.raises(Stopped, match="Not now"):
        await runs().settle(row())
    assert 30 < sum(waits.asked) < 60


async def test_a_refused_token_stops_the_run_at_once(server: FakeRollbook, runs: Runs):
    server.failures.append(problem(403, "forbidden", "users:write is missing."))
    with pytest.raises(Stopped, match="users:write is missing"):
        await runs().settle(row())
    assert len(server.requests) == 1


async def test_a_cut_connection_is_retried_with_the_same_key(waits: FakeSleep):
    server = FakeRollbook()
    app = httpx2.ASGITransport(server)
    keys: list[str] = []

    class Cut(httpx2.AsyncBaseTransport):
        """Applies the first command, and loses its answer."""

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            answer = await app.handle_async_request(request)
            keys.append(request.headers["Idempotency-Key"])
            if len(keys) == 1:
                raise httpx2.ReadError("cut")
            return answer

    async with Connection("http://rollbook.example.org", TOKEN).client(Cut()) as client:
        reply = await Remote(client, waits).command(
            "POST",
            "/v1/users",
            b'{"name":"A","email":"a@example.org","external_id":null}',
            {"Idempotency-Key": "k"},
        )
    assert (reply.status, reply.is_replayed) == (201, True)
    assert keys == ["k", "k"]
    assert len(server.users) == 1


async def test_an_answer_of_another_server_stops_the_run(server: FakeRollbook, runs: Runs):
    server.failures.append(HTMLResponse("<p>Welcome", 200))
    with pytest.raises(Stopped, match="not from a Rollbook"):
        await runs().settle(row())
