"""Principals and the permissions of the presets."""

import pytest

from application.identity import PERMISSIONS, PRESETS, Permission, Preset, Principal


def principal(*permissions: Permission) -> Principal:
    return Principal(actor="token:t", permissions=frozenset(permissions))


@pytest.mark.parametrize("permission", PERMISSIONS)
def test_an_administrator_may_do_everything(permission: Permission) -> None:
    assert principal("admin").may(permission)
    assert principal("admin").granted == PERMISSIONS


def test_other_principals_may_do_only_what_was_granted() -> None:
    reader = principal("users:read")
    assert reader.may("users:read")
    assert not reader.may("users:write")
    assert reader.granted == ("users:read",)


@pytest.mark.parametrize(
    ("preset", "granted"),
    [
        ("reader", ("users:read", "events:read")),
        ("writer", ("users:read", "users:write", "events:read")),
        ("auditor", ("users:read", "events:read", "audit:read")),
        ("admin", PERMISSIONS),
    ],
)
def test_the_presets_are_those_of_the_contract(
    preset: Preset, granted: tuple[Permission, ...]
) -> None:
    assert principal(*PRESETS[preset]).granted == granted
