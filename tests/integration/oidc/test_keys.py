"""The keys of the issuer: cached, rotated, and never fetched once per request."""

import asyncio
from typing import Final

from infrastructure.identity.oidc.issuer import PAUSE_SECONDS, REFRESH_SECONDS
from tests.support.http.directory import Directory
from tests.support.oidc.directory import Clock, status, trusting
from tests.support.oidc.issuer import JWKS, TestIssuer, new_key

TOGETHER: Final = 50


async def statuses(directory: Directory, tokens: list[str]) -> set[int]:
    return set(await asyncio.gather(*(status(directory, token) for token in tokens)))


async def test_requests_at_the_same_time_share_the_first_fetch(clock: Clock) -> None:
    with TestIssuer.running() as issuer:
        async with trusting(issuer, clock=clock) as directory:
            tokens = [issuer.token(sub=f"user-{number}") for number in range(TOGETHER)]
            assert await statuses(directory, tokens) == {200}
            assert issuer.requests[JWKS] == 1


async def test_a_new_key_is_found_at_once_and_a_removed_key_within_ten_minutes(
    clock: Clock,
) -> None:
    with TestIssuer.running() as issuer:
        async with trusting(issuer, clock=clock) as directory:
            old = issuer.token()
            assert await status(directory, old) == 200
            issuer.keys = [new_key("second")]
            assert await status(directory, issuer.token()) == 200
            assert issuer.requests[JWKS] == 2
            assert await status(directory, old) == 401, "the issuer has removed its key"


async def test_unknown_keys_cost_one_request_in_half_a_minute(clock: Clock) -> None:
    with TestIssuer.running() as issuer:
        async with trusting(issuer, clock=clock) as directory:
            assert await status(directory, issuer.token()) == 200
            forged = [issuer.token_of_unknown_key(number) for number in range(TOGETHER)]
            assert await statuses(directory, forged) == {401}
            assert await statuses(directory, forged) == {401}
            assert issuer.requests[JWKS] == 2
            clock.now += PAUSE_SECONDS + 1
            assert await statuses(directory, forged) == {401}
            assert issuer.requests[JWKS] == 3


async def test_old_keys_are_fetched_again_while_requests_go_on(clock: Clock) -> None:
    with TestIssuer.running() as issuer:
        async with trusting(issuer, clock=clock) as directory:
            token = issuer.token()
            assert await status(directory, token) == 200
            issuer.keys = [new_key("second")]
            clock.now += REFRESH_SECONDS + 1
            assert await status(directory, token) == 200, "it does not wait for the issuer"
            async with asyncio.timeout(5):
                while await status(directory, token) == 200:
                    await asyncio.sleep(0.01)
            # In the background; and for the old key, which was not known any more.
            assert issuer.requests[JWKS] == 3


async def test_a_broken_key_does_not_spoil_the_others(clock: Clock) -> None:
    broken = [
        {},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "RSA", "n": "A" * 400, "e": "!"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "P-256K1", "x": 1, "y": None},
        {"kty": "OKP", "crv": "X25519", "x": "A" * 43},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "first"},
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"},
        {"kty": "RSA", "use": "sig", "key_ops": ["encrypt"], "n": "A" * 400, "e": "AQAB"},
        {"kty": 1},
    ]
    with TestIssuer.running() as issuer:
        issuer.more_keys = broken
        async with trusting(issuer, clock=clock) as directory:
            assert await status(directory, issuer.token()) == 200
