"""The envelope of an event has the same form whether open, sealed or erased."""

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec
import pytest

from application.log.envelope import envelope
from domain.event import ERASED, Event, Recorded
from domain.user.events import (
    PreviousName,
    PreviousRole,
    UserErased,
    UserRegistered,
    UserRenamed,
    UserRoleChanged,
    UserSuspended,
)

LOG: Final = UUID("018f0000-0000-7000-8000-000000000001")
STREAM: Final = UUID("018f0000-0000-7000-8000-000000000002")
EVENT: Final = UUID("018f0000-0000-7000-8000-000000000003")
CAUSE: Final = UUID("018f0000-0000-7000-8000-000000000004")


def recorded(
    event: Event, *, on_behalf_of: str | None = None, causation_id: UUID | None = None
) -> Recorded[Event]:
    return Recorded(
        event=event,
        kind="user",
        stream=STREAM,
        version=3,
        position=1234,
        event_id=EVENT,
        actor="token:admin",
        on_behalf_of=on_behalf_of,
        correlation_id="request-1",
        causation_id=causation_id,
        recorded_at=datetime(2026, 3, 1, 9, 30, tzinfo=UTC),
    )


def as_json(event: Recorded[Event], *, opened: bool = True) -> dict[str, object]:
    return msgspec.json.decode(msgspec.json.encode(envelope(event, LOG, opened=opened)))


def test_an_envelope_has_every_member_of_the_contract() -> None:
    renamed = UserRenamed(name="Ada King", previous=PreviousName("Ada Lovelace"))
    assert as_json(recorded(renamed, on_behalf_of="hr", causation_id=CAUSE)) == {
        "specversion": "1.0",
        "id": str(EVENT),
        "source": f"urn:uuid:{LOG}",
        "type": "user.renamed",
        "subject": str(STREAM),
        "time": "2026-03-01T09:30:00.000000Z",
        "datacontenttype": "application/json",
        "dataschema": "urn:rollbook:user.renamed:1",
        "data": {"name": "Ada King", "previous": {"name": "Ada Lovelace"}},
        "position": "1234",
        "version": 3,
        "actor": "token:admin",
        "onbehalfof": "hr",
        "correlationid": "request-1",
        "causationid": str(CAUSE),
        "personal": "open",
    }


def test_absent_on_behalf_of_and_causation_id_are_left_out() -> None:
    members = as_json(recorded(UserSuspended()))
    assert not members.keys() & {"onbehalfof", "causationid"}


def test_fields_with_default_values_are_shown() -> None:
    members = as_json(recorded(UserRegistered(name="Ada", email="ada@example.org", role="member")))
    assert members["data"] == {
        "name": "Ada",
        "email": "ada@example.org",
        "role": "member",
        "external_id": None,
        "attributes": {},
    }
    assert members["dataschema"] == "urn:rollbook:user.registered:2"


@pytest.mark.parametrize(
    ("reason", "data"), [(None, {}), ("left for a while", {"reason": "left for a while"})]
)
def test_a_reason_is_shown_only_if_one_was_given(reason: str | None, data: dict[str, str]) -> None:
    assert as_json(recorded(UserSuspended(reason=reason)))["data"] == data


def test_a_sealed_envelope_hides_personal_fields_and_nothing_else() -> None:
    registered = UserRegistered(name="Ada", email="ada@example.org", role="owner")
    members = as_json(recorded(registered), opened=False)
    assert members["personal"] == "sealed"
    assert members["data"] == {
        "name": None,
        "email": None,
        "role": "owner",
        "external_id": None,
        "attributes": None,
    }


def test_a_sealed_envelope_does_not_reveal_whether_there_was_a_reason() -> None:
    given = as_json(recorded(UserSuspended(reason="private")), opened=False)
    assert given == as_json(recorded(UserSuspended()), opened=False)
    assert given["data"] == {"reason": None}


@pytest.mark.parametrize("opened", [True, False])
def test_erased_data_is_hidden_from_every_reader(*, opened: bool) -> None:
    members = as_json(recorded(UserRenamed(name=ERASED, previous=ERASED)), opened=opened)
    assert members["personal"] == "erased"
    assert members["data"] == {"name": None, "previous": None}


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (
            UserRoleChanged(role="owner", previous=PreviousRole("member")),
            {"role": "owner", "previous": {"role": "member"}},
        ),
        (UserErased(), {"reason": "subject-request"}),
    ],
)
def test_an_event_without_personal_data_is_open_to_every_reader(
    event: Event, data: dict[str, object]
) -> None:
    members = as_json(recorded(event), opened=False)
    assert members["personal"] == "open"
    assert members["data"] == data
