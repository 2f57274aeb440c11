"""What `rollbook doctor` says about the OIDC issuer."""

from pydantic import SecretStr
from werkzeug.wrappers import Response

from interfaces.composition.oidc import examine_oidc
from interfaces.settings import Settings
from tests.support.oidc.issuer import AUDIENCE, CLIENT_ID, DISCOVERY, TestIssuer


def settings_for(issuer: str | None, permissions: str | None = "groups") -> Settings:
    return Settings.model_construct(
        database_url=SecretStr("postgresql://db/rollbook"),
        oidc_issuer=issuer,
        oidc_audience=AUDIENCE,
        oidc_client_id=CLIENT_ID,
        oidc_permissions_claim=permissions,
    )


async def test_it_counts_the_keys_of_an_issuer_that_answers(issuer: TestIssuer) -> None:
    found = await examine_oidc(settings_for(issuer.url))
    assert found == ["the OIDC issuer answers; keys that can sign: 2"]


async def test_it_says_that_no_claim_gives_permissions(issuer: TestIssuer) -> None:
    found = await examine_oidc(settings_for(issuer.url, None))
    assert "ROLLBOOK_OIDC_PERMISSIONS_CLAIM is not set" in found[0]


async def test_it_names_what_is_wrong(issuer: TestIssuer) -> None:
    other = '{"issuer": "https://other.example", "jwks_uri": "https://other.example/jwks"}'
    with issuer.answering(DISCOVERY, lambda: Response(other)):
        found = await examine_oidc(settings_for(issuer.url))
    assert "another issuer than ROLLBOOK_OIDC_ISSUER" in found[0]
    bare = f'{{"issuer": "{issuer.url}", "jwks_uri": "{issuer.url}/jwks"}}'
    with issuer.answering(DISCOVERY, lambda: Response(bare)):
        found = await examine_oidc(settings_for(issuer.url))
    assert "does not offer the code flow" in found[0]
    assert "ConnectError" in (await examine_oidc(settings_for("http://127.0.0.1:9")))[0]


async def test_without_an_issuer_it_says_nothing() -> None:
    assert await examine_oidc(settings_for(None)) == []
