"""The envelope of an unopened event: personal data is one ciphertext, or erased."""

import base64
from typing import Final
from uuid import UUID

import msgspec
import pytest

from application.log.envelope import envelope
from application.log.sealed import Sealed, sealed_envelope
from domain.event import ERASED, Event
from domain.user.events import UserErased, UserRenamed, UserSuspended
from tests.support.views.histories import ZOE, recorded

LOG: Final = UUID("018f0000-0000-7000-8000-000000000001")
CIPHERTEXT: Final = bytes(range(240, 256))


def as_json(event: Sealed) -> dict[str, object]:
    return msgspec.json.decode(
        msgspec.json.encode(sealed_envelope(recorded(event, 3, 17), event, LOG))
    )


def as_shown_over_http(event: Event) -> dict[str, object]:
    opened = envelope(recorded(event, 3, 17), LOG, opened=True)
    return msgspec.json.decode(msgspec.json.encode(opened))


def test_personal_fields_are_one_ciphertext_beside_the_other_fields() -> None:
    members = as_json(
        Sealed(
            type="user.registered",
            schema=2,
            fields={"role": "owner"},
            access="sealed",
            value=CIPHERTEXT,
        )
    )
    assert members["personal"] == "sealed"
    assert members["type"] == "user.registered"
    assert members["dataschema"] == "urn:rollbook:user.registered:2"
    assert (members["position"], members["version"]) == ("17", 3)
    value = base64.urlsafe_b64encode(CIPHERTEXT).decode()
    assert members["data"] == {"role": "owner", "sealed": {"key": str(ZOE), "value": value}}


@pytest.mark.parametrize(
    ("sealed", "event"),
    [
        (Sealed(type="user.suspended", schema=1, fields={"reason": None}), UserSuspended()),
        (Sealed(type="user.erased", schema=1, fields={"reason": "error"}), UserErased("error")),
        (
            Sealed(
                type="user.renamed",
                schema=1,
                fields={"name": None, "previous": None},
                access="erased",
                erased=frozenset({"name", "previous"}),
            ),
            UserRenamed(name=ERASED, previous=ERASED),
        ),
        (
            Sealed(
                type="user.suspended",
                schema=1,
                fields={"reason": None},
                access="erased",
                erased=frozenset({"reason"}),
            ),
            UserSuspended(reason=ERASED),
        ),
    ],
)
def test_without_a_ciphertext_the_envelope_is_the_same_as_over_http(
    sealed: Sealed, event: Event
) -> None:
    assert as_json(sealed) == as_shown_over_http(event)
