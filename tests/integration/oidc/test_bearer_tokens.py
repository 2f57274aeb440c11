"""JWTs as bearer tokens: what the issuer says counts, and what only looks like it does not."""

from collections.abc import Generator
from typing import Any, Final, Literal

import pytest
from oidc_provider_mock import User  # pyright: ignore[reportMissingTypeStubs]

from application.identity import PERMISSIONS
from tests.support.http.directory import ADA
from tests.support.oidc.directory import trusting
from tests.support.oidc.forged import forgeries
from tests.support.oidc.issuer import AUDIENCE, JWKS, TestIssuer, new_key

GROUPS: Final = "groups: platform-admins=admin, hr=writer, auditors=audit:read+users:read"


@pytest.fixture(scope="module")
def issuer() -> Generator[TestIssuer]:
    """With a key for RSA, as most have: half of the forgeries are about it."""
    with TestIssuer.running() as issuer:
        issuer.keys = [new_key("first", "RSA")]
        yield issuer


async def test_a_jwt_of_the_issuer_is_a_caller_with_the_permissions_of_its_groups(
    issuer: TestIssuer,
) -> None:
    token = issuer.token(sub="5f2c", groups=["hr"], name=" Ada Lovelace ")
    async with trusting(issuer, GROUPS) as directory, directory.as_(token) as client:
        me = (await client.get("/v1/me")).json()
        assert (me["actor"], me["name"]) == ("user:5f2c", "Ada Lovelace")
        assert me["permissions"] == ["users:read", "users:write", "events:read"]
        assert (await client.post("/v1/users", json=ADA)).status_code == 201
        assert (await client.get("/v1/audit")).status_code == 403
        event = (await client.get("/v1/events")).json()["items"][0]
        assert event["actor"] == "user:5f2c"


@pytest.mark.parametrize(
    ("setting", "groups", "permissions"),
    [
        (None, ["admin"], []),
        ("groups", ["admin"], list(PERMISSIONS)),
        (GROUPS, ["admin"], []),
        (GROUPS, None, []),
    ],
)
async def test_without_a_mapped_group_a_caller_is_known_and_may_do_nothing(
    issuer: TestIssuer, setting: str | None, groups: Any, permissions: list[str]
) -> None:
    async with trusting(issuer, setting) as directory:
        async with directory.as_(issuer.token(groups=groups)) as client:
            assert (await client.get("/v1/me")).json()["permissions"] == permissions
            expected = 200 if permissions else 403
            assert (await client.get("/v1/users")).status_code == expected


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": [AUDIENCE, "https://elsewhere.example"]},
        {"sub": "!" + "~" * 127},
        {"name": "\x00", "preferred_username": 7},
        {"name": "x" * 201},
        {"iat": None},
    ],
)
async def test_a_token_is_accepted_with(issuer: TestIssuer, claims: dict[str, Any]) -> None:
    async with trusting(issuer) as directory, directory.as_(issuer.token(**claims)) as client:
        assert (await client.get("/v1/me")).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "at+jwt"},
        {"typ": "application/AT+JWT"},
        {"alg": "PS256"},
        {"alg": "RS512"},
        {"pi.atm": "p1k2", "x5t": "of another key"},
    ],
)
async def test_a_token_is_accepted_with_the_header(
    issuer: TestIssuer, header: dict[str, str]
) -> None:
    async with trusting(issuer) as directory:
        async with directory.as_(issuer.token(header=header)) as client:
            assert (await client.get("/v1/me")).status_code == 200


async def test_the_clocks_may_differ_by_half_a_minute(issuer: TestIssuer) -> None:
    now = issuer.claims()["iat"]
    async with trusting(issuer) as directory:
        for claims in ({"exp": now - 20}, {"nbf": now + 20}, {"iat": now + 20}):
            async with directory.as_(issuer.token(**claims)) as client:
                assert (await client.get("/v1/me")).status_code == 200, claims


@pytest.mark.parametrize("kind", ["EC", "OKP"])
async def test_keys_on_curves_sign_as_well(kind: Literal["EC", "OKP"]) -> None:
    with TestIssuer.running() as issuer:
        issuer.keys = [new_key("curve", kind)]
        async with trusting(issuer) as directory:
            async with directory.as_(issuer.token()) as client:
                assert (await client.get("/v1/me")).status_code == 200


async def test_a_token_without_a_key_id_needs_exactly_one_key_that_fits() -> None:
    with TestIssuer.running() as issuer:
        async with trusting(issuer) as directory:
            async with directory.as_(issuer.token(header={"kid": None})) as client:
                assert (await client.get("/v1/me")).status_code == 200
        issuer.keys.append(new_key("other curve"))
        async with trusting(issuer) as directory:
            async with directory.as_(issuer.token(header={"kid": None})) as client:
                assert (await client.get("/v1/me")).status_code == 401


async def test_every_forgery_is_refused_with_two_requests_for_keys_at_most(
    issuer: TestIssuer,
) -> None:
    """The first for the keys, the second for the key that nobody has."""
    before = issuer.requests.copy()
    async with trusting(issuer) as directory:
        for wrong, token in forgeries(issuer).items():
            async with directory.as_(token) as client:
                answer = await client.get("/v1/me")
            assert answer.status_code == 401, wrong
            assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"], wrong
            assert not any(part and part in answer.text for part in token.split(".")), wrong
    made = issuer.requests - before
    assert made[JWKS] <= 2
    assert set(made) <= {JWKS, "/.well-known/openid-configuration"}, "an address in a token"


async def test_other_bearer_strings_never_reach_the_issuer(issuer: TestIssuer) -> None:
    before = issuer.requests.copy()
    foreign = issuer.token(iss="https://elsewhere.example", header={"kid": "theirs"})
    async with trusting(issuer) as directory:
        async with directory.as_(None) as client:
            for token in ("rbk_" + "a" * 49, "eyJ", "a.b.c", "..", "eyJ.é.", foreign):
                headers = {b"Authorization": f"Bearer {token}".encode("latin-1")}
                assert (await client.get("/v1/me", headers=headers)).status_code == 401
    assert issuer.requests == before


async def test_an_id_token_of_the_provider_is_accepted_for_its_audience_only() -> None:
    with TestIssuer.running(User(sub="ada")) as issuer:
        own = issuer.id_token("ada", client_id="rollbook-api")
        other = issuer.id_token("ada", client_id="rollbook-console")
        async with trusting(issuer, audience="rollbook-api") as directory:
            for token, status in ((own, 200), (other, 401)):
                async with directory.as_(token) as client:
                    assert (await client.get("/v1/me")).status_code == status
