"""The mapping from the claims of a JWT to permissions."""

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.access.oidc_permissions import PermissionsClaim
from application.identity import PERMISSIONS, PRESETS

MAPPED: Final = "groups: platform-admins=admin, hr=writer, auditors=audit:read+users:read"
NESTED: Final = {"realm_access": {"roles": ["reader"]}}
URL: Final = "https://example.org/roles"


@pytest.mark.parametrize(
    ("setting", "claims", "expected"),
    [
        ("groups", {"groups": ["reader"]}, PRESETS["reader"]),
        ("groups", {"groups": ["users:read", "staff"]}, {"users:read"}),
        ("groups", {"groups": ["reader", "audit:read"]}, PRESETS["auditor"]),
        ("groups", {"groups": ["admin"]}, set(PERMISSIONS)),
        ("groups", {"groups": ["ADMIN", " admin", ""]}, set[str]()),
        ("groups", {"groups": "admin"}, set(PERMISSIONS)),
        ("groups", {}, set[str]()),
        ("groups", {"groups": None}, set[str]()),
        ("groups", {"groups": [["admin"], {"admin": 1}, 1, True, None]}, set[str]()),
        ("groups", {"groups": {"admin": "admin"}}, set[str]()),
        ("groups", {"groups": 7}, set[str]()),
        ("scope", {"scope": "openid users:read events:read"}, PRESETS["reader"]),
        (MAPPED, {"groups": ["hr"]}, PRESETS["writer"]),
        (MAPPED, {"groups": ["auditors", "nobody"]}, {"audit:read", "users:read"}),
        (MAPPED, {"groups": ["platform-admins"]}, set(PERMISSIONS)),
        # Only what is mapped counts: an issuer's own `admin` is another party's word.
        (MAPPED, {"groups": ["admin", "reader", "users:read"]}, set[str]()),
        (MAPPED, {"groups": "hr"}, PRESETS["writer"]),
        ("groups: Site Admins=admin", {"groups": "Site Admins"}, set(PERMISSIONS)),
        ("groups: a=users:read, a=audit:read", {"groups": ["a"]}, {"users:read", "audit:read"}),
        ("groups: cn=hr\\,ou=groups=writer", {"groups": ["cn=hr,ou=groups"]}, PRESETS["writer"]),
        ("realm_access.roles", NESTED, PRESETS["reader"]),
        ("realm_access.roles", {"realm_access": ["reader"]}, set[str]()),
        ("realm_access.roles", {**NESTED, "realm_access.roles": ["admin"]}, set(PERMISSIONS)),
        ("a.b.c", {"a.b": {"c": ["reader"]}}, PRESETS["reader"]),
        ("a.b.c", {"a": {"b.c": ["reader"]}}, PRESETS["reader"]),
        (URL, {URL: ["reader"]}, PRESETS["reader"]),
        (f"{URL}: staff=reader", {URL: ["staff"]}, PRESETS["reader"]),
    ],
)
def test_the_claim_gives_exactly_these_permissions(
    setting: str, claims: dict[str, Any], expected: set[str]
) -> None:
    assert PermissionsClaim.parse(setting).granted(claims) == expected


@pytest.mark.parametrize(
    "setting",
    [
        "",
        "   ",
        "groups admins",
        "groups:hr=writer",
        "groups: ",
        "groups: hr",
        "groups: hr=",
        "groups: =writer",
        "groups: hr=owner",
        "groups: hr=writer,",
        "groups: hr=writer+",
        "groups: hr=users:read events:read",
    ],
)
def test_a_setting_that_could_mean_something_else_is_refused(setting: str) -> None:
    with pytest.raises(ValueError, match=r"must be like|gives a value something else"):
        PermissionsClaim.parse(setting)


_words = st.text("abé ", max_size=8)
_json = st.recursive(
    st.none() | st.booleans() | st.floats() | _words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_words, inner, max_size=4),
    max_leaves=12,
)
_values = st.sampled_from(["hr", "platform-admins", "auditors", "admin", "reader", "users:read"])


@given(st.dictionaries(st.sampled_from(["groups", "group", "a"]), _json))
def test_claims_of_any_shape_give_known_permissions_or_none(claims: dict[str, Any]) -> None:
    assert PermissionsClaim.parse(MAPPED).granted(claims) <= set(PERMISSIONS)


@given(st.lists(_values | _words), st.lists(_values | _words))
def test_more_groups_never_take_a_permission_away(some: list[str], more: list[str]) -> None:
    claim = PermissionsClaim.parse(MAPPED)
    before = claim.granted({"groups": some})
    assert before <= claim.granted({"groups": [*some, *more]})
    assert claim.granted({"groups": [*more, *some]}) == before | claim.granted({"groups": more})


@given(st.text(alphabet="abg:=,+. \\", max_size=30))
def test_a_setting_is_parsed_or_refused(setting: str) -> None:
    try:
        claim = PermissionsClaim.parse(setting)
    except ValueError:
        return
    assert claim.claim
    assert all(granted <= set(PERMISSIONS) for granted in claim.by_value.values())
