"""While the issuer is away, slow or hostile: who is known stays known, new keys get a 503."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

import pytest
from werkzeug.wrappers import Response

from infrastructure.identity.oidc.issuer import FAILURE_PAUSE_SECONDS
from infrastructure.identity.oidc.requests import MAX_BYTES, SECONDS
from tests.support.oidc.directory import Clock, status, trusting
from tests.support.oidc.issuer import DISCOVERY, JWKS, TestIssuer

DETAIL: Final = "OIDC issuer cannot be reached"


async def test_known_keys_go_on_and_unknown_ones_get_a_503_that_says_so(clock: Clock) -> None:
    with TestIssuer.running() as issuer:
        async with trusting(issuer, clock=clock) as directory:
            seen, fresh = issuer.token(), issuer.token(sub="eve")
            assert await status(directory, seen) == 200
            issuer.stop()
            assert await status(directory, seen) == 200
            assert await status(directory, fresh) == 200
            async with directory.as_(issuer.token_of_unknown_key(1)) as client:
                answer = await client.get("/v1/me")
            assert answer.status_code == 503
            assert DETAIL in answer.json()["detail"]
            assert answer.headers["Retry-After"]
            assert await status(directory, "reader") == 200
            issuer.start()
            clock.now += FAILURE_PAUSE_SECONDS + 1
            assert await status(directory, issuer.token_of_unknown_key(2)) == 401


async def test_a_process_that_starts_without_the_issuer_serves_everybody_else(
    clock: Clock,
) -> None:
    with TestIssuer.running() as issuer:
        token = issuer.token()
        issuer.stop()
        async with trusting(issuer, clock=clock) as directory:
            assert await status(directory, token) == 503
            assert await status(directory, issuer.token(exp=1)) == 401
            assert await status(directory, "reader") == 200
            issuer.start()
            assert await status(directory, token) == 503, "no request for each request"
            assert issuer.requests.total() == 0
            clock.now += FAILURE_PAUSE_SECONDS + 1
            assert await status(directory, token) == 200


def _endless() -> Iterator[bytes]:
    yield b'{"issuer": "'
    while True:
        yield b"a" * 65536


HOSTILE: Final[dict[str, tuple[str, Callable[[], Response]]]] = {
    "an endless answer": (DISCOVERY, lambda: Response(_endless())),
    "too many bytes": (JWKS, lambda: Response(b" " * MAX_BYTES + b'{"keys": []}')),
    "compressed bytes": (
        JWKS,
        lambda: Response(b"\x1f\x8b", headers={"Content-Encoding": "gzip"}),
    ),
    "a redirect": (
        JWKS,
        lambda: Response(status=302, headers={"Location": "http://127.0.0.1:1/keys"}),
    ),
    "a web page": (DISCOVERY, lambda: Response("<html>Log in first</html>")),
    "an error": (JWKS, lambda: Response('{"keys": []}', status=500)),
    "no keys member": (JWKS, lambda: Response("{}")),
    "keys that are no objects": (JWKS, lambda: Response('{"keys": [1]}')),
    "too many keys": (JWKS, lambda: Response('{"keys": [' + "{}," * 200 + "{}]}")),
    "nesting without end": (JWKS, lambda: Response('{"keys": ' + "[" * 100_000)),
    "another issuer": (
        DISCOVERY,
        lambda: Response('{"issuer": "https://other.example", "jwks_uri": "https://o.example"}'),
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_a_wrong_answer_is_an_issuer_that_cannot_be_reached(
    what: str, issuer: TestIssuer, clock: Clock
) -> None:
    path, answer = HOSTILE[what]
    async with trusting(issuer, clock=clock) as directory:
        began = time.monotonic()
        with issuer.answering(path, answer):
            async with directory.as_(issuer.token()) as client:
                refused = await client.get("/v1/me")
        assert time.monotonic() - began < 5
        assert (refused.status_code, DETAIL in refused.text) == (503, True)
        assert issuer.url not in refused.text
        assert await status(directory, "reader") == 200
        clock.now += FAILURE_PAUSE_SECONDS + 1
        assert await status(directory, issuer.token()) == 200


@pytest.mark.parametrize(
    "address", ["http://keys.example/jwks", "file:///etc/passwd", "ftp://127.0.0.1/", "", "//x"]
)
async def test_keys_are_fetched_over_https_only(address: str, issuer: TestIssuer) -> None:
    document = f'{{"issuer": "{issuer.url}", "jwks_uri": "{address}"}}'
    with issuer.answering(DISCOVERY, lambda: Response(document)):
        async with trusting(issuer) as directory:
            assert await status(directory, issuer.token()) == 503


@pytest.mark.parametrize("seconds", [0.5, pytest.param(SECONDS, marks=pytest.mark.long)])
async def test_a_slow_issuer_delays_requests_with_new_keys_only(
    seconds: float, clock: Clock
) -> None:
    with TestIssuer.running() as issuer:
        async with trusting(issuer, clock=clock, seconds=seconds) as directory:
            assert await status(directory, issuer.token()) == 200
            ended = threading.Event()
            issuer.answers[JWKS] = lambda: _late(ended)
            began = time.monotonic()
            waiting = [
                asyncio.create_task(status(directory, issuer.token_of_unknown_key(number)))
                for number in range(20)
            ]
            try:
                for token in (issuer.token(sub="eve"), "reader"):
                    assert await status(directory, token) == 200
                assert not any(task.done() for task in waiting)
                assert set(await asyncio.gather(*waiting)) == {503}
                assert time.monotonic() - began < 5
                assert issuer.requests[JWKS] == 2
            finally:
                ended.set()


def _late(ended: threading.Event) -> Response:
    ended.wait(30)
    return Response('{"keys": []}')
