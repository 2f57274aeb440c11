"""Requests over a limit: 429 before anything else, by caller and by address."""

import asyncio
from collections import Counter

import pytest
from httpx2 import AsyncClient, Response
from structlog.testing import capture_logs

from application.access.limits import Limits
from application.identity import PRESETS, Principal
from tests.support.http.directory import Directory
from tests.support.http.peers import client_at, with_services

CRM = Principal(actor="token:crm", permissions=PRESETS["reader"])
HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"
USERS = "/v1/users"


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def directory(clock: Clock) -> Directory:
    """A directory with the limits of the contract."""
    return with_services(Directory(), limits=Limits(clock=clock))


async def statuses(client: AsyncClient, count: int, path: str = USERS) -> Counter[int]:
    return Counter([(await client.get(path)).status_code for _ in range(count)])


async def test_a_caller_may_send_its_rate_and_a_burst(directory: Directory, clock: Clock) -> None:
    with_services(directory, limits=Limits(5, clock=clock))
    async with client_at(directory, HERE, "reader") as client:
        assert await statuses(client, 12) == {200: 10, 429: 2}
        clock.now += 1
        assert await statuses(client, 12) == {200: 5, 429: 7}
    async with client_at(directory, HERE, "writer") as client:
        assert await statuses(client, 10) == {200: 10}


async def test_the_answers_say_what_is_left(directory: Directory) -> None:
    async with client_at(directory, HERE, "reader") as client:
        first, second = await client.get(USERS), await client.get(f"{USERS}/unknown")
    assert first.headers["RateLimit-Policy"] == '"default";q=2000;w=1'
    assert first.headers["RateLimit"] == '"default";r=1999;t=1'
    assert second.status_code == 404
    assert second.headers["RateLimit"] == '"default";r=1998;t=1'
    async with client_at(directory, HERE) as client:
        answer = await client.get(USERS)
    assert answer.status_code == 401
    assert answer.headers["RateLimit-Policy"] == '"address";q=20;w=1'
    assert answer.headers["RateLimit"] == '"address";r=19;t=1'


async def test_a_refusal_is_a_problem_that_says_when_to_come_again(directory: Directory) -> None:
    async with client_at(directory, HERE) as client:
        await statuses(client, 40)
        answer = await client.post(USERS, content=b"{", headers={"X-Request-ID": "mine"})
    assert answer.status_code == 429
    assert answer.json() == {
        "type": "/problems/rate-limited",
        "title": "Too many requests",
        "status": 429,
        "detail": "More than 20 requests in 1 s; repeat it after 1 s.",
        "policy": "address",
    }
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["RateLimit"] == '"address";r=0;t=1'
    assert answer.headers["X-Request-ID"] == "mine"
    assert answer.headers["Rollbook-Version"] == "1.2.3"
    assert answer.headers["Vary"] == "Authorization"


async def test_without_a_token_an_address_has_a_bucket(directory: Directory) -> None:
    async with client_at(directory, HERE) as client:
        assert await statuses(client, 50) == {401: 40, 429: 10}
        assert await statuses(client, 1, "/auth/unknown") == {429: 1}
    async with client_at(directory, ELSEWHERE) as client:
        assert await statuses(client, 1) == {401: 1}
    async with client_at(directory, HERE, "reader") as client:
        assert await statuses(client, 50) == {200: 50}


async def test_an_ipv6_network_of_64_bits_counts_as_one_address(directory: Directory) -> None:
    for number in range(40):
        async with client_at(directory, f"2001:db8::{number:x}") as client:
            assert await statuses(client, 1) == {401: 1}
    async with client_at(directory, "2001:db8::ffff:1") as client:
        assert await statuses(client, 1) == {429: 1}
    async with client_at(directory, "2001:db8:0:1::1") as client:
        assert await statuses(client, 1) == {401: 1}


async def test_unknown_tokens_cause_no_more_look_ups_than_the_rate(
    directory: Directory, clock: Clock
) -> None:
    async with client_at(directory, HERE) as client:
        found = Counter[int]()
        for number in range(300):
            headers = {"Authorization": f"Bearer guess-{number}"}
            found[(await client.get(USERS, headers=headers)).status_code] += 1
            clock.now += 0.01
    assert len(directory.tokens.searches) == found[401]
    assert found[401] == pytest.approx(40 + 20 * 3, abs=1)


async def test_a_known_caller_is_not_affected_by_a_flood_from_its_address(
    directory: Directory, clock: Clock
) -> None:
    directory.tokens.add("mine", CRM)
    async with client_at(directory, HERE, "mine") as crm, client_at(directory, HERE) as flood:
        assert (await crm.get(USERS)).status_code == 200
        for number in range(100):
            await flood.get(USERS, headers={"Authorization": f"Bearer guess-{number}"})
            await flood.get(USERS)
        assert await statuses(crm, 100) == {200: 100}
        clock.now += 2
        assert await statuses(crm, 100) == {200: 100}


async def test_a_flood_without_tokens_or_with_one_old_token_takes_no_look_up(
    directory: Directory,
) -> None:
    directory.tokens.add("mine", CRM)
    async with client_at(directory, HERE, "old") as old, client_at(directory, HERE) as flood:
        assert await statuses(flood, 100) == {401: 40, 429: 60}
        assert await statuses(old, 100) == {401: 1, 429: 99}
    async with client_at(directory, HERE, "mine") as crm:
        assert await statuses(crm, 100) == {200: 100}


async def test_valid_tokens_cost_their_address_nothing(directory: Directory) -> None:
    """After a restart, the clients behind one proxy are all unknown."""
    for number in range(500):
        directory.tokens.add(f"client-{number}", CRM)
    async with client_at(directory, HERE) as client:

        async def ask(number: int) -> Response:
            headers = {"Authorization": f"Bearer client-{number}"}
            return await client.get(USERS, headers=headers)

        assert {(await ask(number)).status_code for number in range(500)} == {200}


async def test_concurrent_first_requests_of_a_caller_share_one_look_up(
    directory: Directory,
) -> None:
    directory.tokens.add("mine", CRM)
    async with client_at(directory, HERE, "mine") as client:
        answers = await asyncio.gather(*(client.get(USERS) for _ in range(200)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(directory.tokens.searches) == 1


async def test_while_look_ups_fail_they_are_limited_too(directory: Directory) -> None:
    directory.tokens.is_away = True
    async with client_at(directory, HERE, "mine") as client:
        assert await statuses(client, 100) == {503: 40, 429: 60}


async def test_a_caller_of_a_session_or_token_has_one_bucket_for_each_credential(
    directory: Directory, clock: Clock
) -> None:
    with_services(directory, limits=Limits(5, clock=clock))
    for secret in ("one", "two"):
        directory.tokens.add(secret, CRM)
    for secret in ("one", "two"):
        async with client_at(directory, HERE, secret) as client:
            # The first request pays from the address, which gets its token back.
            assert await statuses(client, 15) == {200: 11, 429: 4}


@pytest.mark.parametrize(
    "path", ["/health/live", "/docs", "/openapi.json", "/problems/forbidden", "/metrics", "/"]
)
async def test_pages_health_and_metrics_are_not_counted(directory: Directory, path: str) -> None:
    async with client_at(directory, "127.0.0.1") as client:
        found = await statuses(client, 50, path)
        assert 429 not in found
        assert "RateLimit" not in (await client.get(path)).headers


async def test_metrics_are_counted_if_the_sender_must_be_looked_up(directory: Directory) -> None:
    async with client_at(directory, HERE, "guess") as client:
        assert await statuses(client, 50, "/metrics") == {401: 41, 429: 9}


async def test_tickets_are_sixty_a_minute_for_each_caller(
    directory: Directory, clock: Clock
) -> None:
    async with client_at(directory, HERE, "reader") as client:
        answers = [await client.post("/v1/stream/tickets") for _ in range(62)]
        assert [answer.status_code for answer in answers] == [201] * 60 + [429] * 2
        assert answers[-1].headers["Retry-After"] == "60"
        assert answers[-1].headers["RateLimit-Policy"] == '"tickets";q=60;w=60'
        assert answers[-1].headers["RateLimit"] == '"tickets";r=0;t=60'
        assert await statuses(client, 1) == {200: 1}
        clock.now += 60
        assert (await client.post("/v1/stream/tickets")).status_code == 201
    async with client_at(directory, HERE, "admin") as client:
        assert (await client.post("/v1/stream/tickets")).status_code == 201


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/auth/signin"),
        ("POST", "/auth/links"),
        ("GET", "/auth/login"),
        ("HEAD", "/auth/callback"),
        ("POST", "/auth/sign%69n"),
    ],
)
async def test_sign_in_is_ten_a_minute_for_each_address(
    directory: Directory, clock: Clock, method: str, path: str
) -> None:
    async with client_at(directory, HERE) as client:
        found = [(await client.request(method, path)).status_code for _ in range(12)]
        assert 429 not in found[:10]
        assert found[10:] == [429, 429]
        clock.now += 60
        assert (await client.request(method, path)).status_code != 429
    async with client_at(directory, ELSEWHERE) as client:
        assert (await client.request(method, path)).status_code != 429


async def test_a_refusal_logs_nothing(directory: Directory) -> None:
    async with client_at(directory, HERE, "secret-token") as client:
        with capture_logs() as logs:
            await statuses(client, 100)
    assert logs == []


async def test_without_limits_nothing_is_refused_and_no_header_says_so() -> None:
    directory = Directory()
    async with client_at(directory, HERE) as client:
        assert await statuses(client, 100) == {401: 100}
        assert "RateLimit" not in (await client.get(USERS)).headers
