"""The settings of the OIDC issuer: each is checked, and those that need each other come together."""

from pathlib import Path
from typing import Final

import pytest

from interfaces.settings import Settings, WrongSetting, load

ISSUER: Final = "https://login.example.org/realms/staff"
GIVEN: Final = {
    "DATABASE_URL": "postgresql://rollbook@db/rollbook",
    "OIDC_ISSUER": ISSUER,
    "OIDC_AUDIENCE": "https://rollbook.example.org",
    "OIDC_CLIENT_ID": "rollbook",
    "OIDC_CLIENT_SECRET": "s:ecret%",
    "OIDC_PERMISSIONS_CLAIM": "groups: hr=writer",
}


def loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **changed: str | None) -> Settings:
    """The settings in an environment of `GIVEN` with changes; None leaves one out."""
    monkeypatch.chdir(tmp_path)
    for name, value in {**GIVEN, **changed}.items():
        if value is None:
            monkeypatch.delenv(f"ROLLBOOK_{name}", raising=False)
        else:
            monkeypatch.setenv(f"ROLLBOOK_{name}", value)
    return load(Settings)


def test_all_of_them_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = loaded(monkeypatch, tmp_path)
    assert settings.oidc_issuer == ISSUER
    assert settings.oidc_client_secret is not None
    assert "s:ecret%" not in repr(settings)


@pytest.mark.parametrize(
    "issuer",
    [f"{ISSUER}/", "http://127.0.0.1:9400", "http://[::1]:9400", "http://localhost:9400"],
)
def test_the_issuer_stays_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, issuer: str
) -> None:
    assert loaded(monkeypatch, tmp_path, OIDC_ISSUER=issuer).oidc_issuer == issuer


def test_the_secret_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("from-a-file\n")
    monkeypatch.setenv("ROLLBOOK_OIDC_CLIENT_SECRET_FILE", str(file))
    secret = loaded(monkeypatch, tmp_path, OIDC_CLIENT_SECRET=None).oidc_client_secret
    assert secret is not None
    assert secret.get_secret_value() == "from-a-file"


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("OIDC_ISSUER", "http://login.example.org", "must be like https://login.example.org"),
        ("OIDC_ISSUER", "login.example.org", "must be like"),
        ("OIDC_ISSUER", "https://", "must be like"),
        ("OIDC_ISSUER", "https://[::1", "must be like"),
        ("OIDC_ISSUER", "https://login.example.org:port", "must be like"),
        ("OIDC_ISSUER", "https://login.example.org/?tenant=1", "must be like"),
        ("OIDC_ISSUER", "https://grace:secret@login.example.org", "must be like"),
        ("OIDC_ISSUER", "http://127.0.0.1.example.org", "must be like"),
        ("OIDC_ISSUER", "https://lögin.example.org", "must be like"),
        ("OIDC_AUDIENCE", "two words", "must be 1 to 255 visible ASCII characters"),
        ("OIDC_CLIENT_ID", "é", "must be 1 to 255 visible ASCII characters"),
        ("OIDC_CLIENT_SECRET", "two words", "must be visible ASCII without spaces"),
        ("OIDC_PERMISSIONS_CLAIM", "groups: hr=owner", "gives a value something else than users:"),
        ("OIDC_PERMISSIONS_CLAIM", "groups hr", "must be like `groups`"),
        ("OIDC_AUDIENCE", None, "is not set"),
    ],
)
def test_a_wrong_one_stops_the_start_and_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str | None, reason: str
) -> None:
    with pytest.raises(WrongSetting) as wrong:
        loaded(monkeypatch, tmp_path, **{name: value})
    assert wrong.value.name == f"ROLLBOOK_{name}"
    assert reason in wrong.value.reason


@pytest.mark.parametrize(
    ("alone", "missing"),
    [
        ("OIDC_AUDIENCE", "OIDC_ISSUER"),
        ("OIDC_CLIENT_ID", "OIDC_ISSUER"),
        ("OIDC_CLIENT_SECRET", "OIDC_CLIENT_ID"),
        ("OIDC_PERMISSIONS_CLAIM", "OIDC_ISSUER"),
    ],
)
def test_one_that_needs_another_says_which(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, alone: str, missing: str
) -> None:
    others = {name: None for name in GIVEN if name not in ("DATABASE_URL", alone)}
    with pytest.raises(WrongSetting) as wrong:
        loaded(monkeypatch, tmp_path, **others)
    assert wrong.value.name == f"ROLLBOOK_{missing}"
