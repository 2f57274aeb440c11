"""The administrator's token from the settings."""

from application.identity import PERMISSIONS
from infrastructure.identity.admin_token import AdminTokenIdentity

TOKEN = "a-token-of-thirty-two-characters"


async def test_the_admin_token_may_do_everything() -> None:
    principal = await AdminTokenIdentity(TOKEN).principal(TOKEN)
    assert principal is not None
    assert principal.actor == "token:admin"
    assert principal.granted == PERMISSIONS


async def test_any_other_token_is_unknown() -> None:
    identity = AdminTokenIdentity(TOKEN)
    for token in ("", TOKEN[:-1], TOKEN + " ", TOKEN.upper(), "tökén"):
        assert await identity.principal(token) is None
