"""The whole product with an issuer: the settings lead to it, and Postgres holds the sessions."""

import pytest
from oidc_provider_mock import User  # pyright: ignore[reportMissingTypeStubs]
from pydantic import SecretStr

from tests.support.http.directory import ADA
from tests.support.http.in_process import in_process
from tests.support.oidc.browser import sent_back
from tests.support.oidc.issuer import AUDIENCE, CLIENT_ID, CLIENT_SECRET, TestIssuer


async def test_jwts_and_sign_in_work_from_the_settings_on_and_no_log_line_names_a_person(
    database_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    person = User(sub="f00d-cafe", claims={"name": "Grace Hopper", "groups": ["staff"]})
    with TestIssuer.running(person) as issuer:
        async with in_process(
            database_url,
            frozenset({"api"}),
            oidc_issuer=issuer.url,
            oidc_audience=AUDIENCE,
            oidc_client_id=CLIENT_ID,
            oidc_client_secret=SecretStr(CLIENT_SECRET),
            oidc_permissions_claim="groups: staff=writer, auditors=audit:read",
        ) as client:
            token = issuer.token(sub="f00d-cafe", groups=["staff"])
            jwt = {"Authorization": f"Bearer {token}"}
            assert (await client.post("/v1/users", json=ADA, headers=jwt)).status_code == 201
            audit = (await client.get("/v1/audit")).json()["items"]
            assert audit[0]["actor"] == "user:f00d-cafe"
            del client.headers["Authorization"]
            begun = await client.get("/auth/login")
            back = await sent_back(begun, "f00d-cafe")
            # Their `Secure` keeps the tests' client, which has no TLS, from sending cookies itself.
            attempt = begun.headers["Set-Cookie"].partition(";")[0]
            done = await client.get("/auth/callback", params=back, headers={"Cookie": attempt})
            assert done.status_code == 303, done.text
            session = done.headers.get_list("set-cookie")[0].partition(";")[0]
            me = (await client.get("/v1/me", headers={"Cookie": session})).json()
            assert (me["actor"], me["name"]) == ("user:f00d-cafe", "Grace Hopper")
            assert me["preset"] == "writer"
            again = await client.get("/auth/callback", params=back, headers={"Cookie": attempt})
            assert again.status_code == 401
            logged = "".join(capfd.readouterr())
            assert "oidc_code_refused" in logged
            secret = (token, back["code"], back["state"], attempt, session, "f00d", "Grace")
            assert not any(each in logged for each in (*secret, issuer.url))
