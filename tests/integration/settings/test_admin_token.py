"""The administrator's token from the settings."""

from application.identity import PERMISSIONS
from infrastructure.identity.admin_token import AdminToken

TOKEN = "a-token-of-thirty-two-characters"


def test_the_admin_token_may_do_everything() -> None:
    principal = AdminToken(TOKEN).principal(TOKEN)
    assert principal is not None
    assert principal.actor == "token:admin"
    assert principal.granted == PERMISSIONS


def test_any_other_token_is_unknown() -> None:
    admin_token = AdminToken(TOKEN)
    for token in ("", TOKEN[:-1], TOKEN + " ", TOKEN.upper(), "tökén"):
        assert admin_token.principal(token) is None
