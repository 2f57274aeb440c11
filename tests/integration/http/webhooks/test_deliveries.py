"""The deliveries of a webhook over HTTP: a test, their state, attempts and parked users."""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec
from httpx2 import AsyncClient
from standardwebhooks import Webhook as Verifier
from uuid_utils.compat import uuid7

from application.webhooks.delivery_ports import Answer, Attempt, DeliveryState, ParkedUser
from tests.support.http.directory import Directory, registered
from tests.support.http.webhooks import ALL, URL, create

NOW: Final = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


async def test_a_test_delivery_is_signed_by_each_secret_and_shows_the_answer(
    directory: Directory, admin: AsyncClient
) -> None:
    webhook = await create(admin)
    path = f"{ALL}/{webhook['id']}"
    rotated = (await admin.post(f"{path}/rotate-secret")).json()
    await admin.post(f"{path}/pause")
    answer = await admin.post(f"{path}/test", headers={"X-Request-ID": "r-1"})
    ((url, sent),) = directory.endpoints.sent
    assert url == URL
    assert list(sent.secrets) == [rotated["secret"], webhook["secret"]]
    assert answer.json() == {
        "message_id": sent.message_id,
        "delivered": True,
        "status": 204,
        "error": None,
        "seconds": 0.042,
    }
    body = msgspec.json.decode(sent.body)
    assert body == {
        "specversion": "1.0",
        "id": sent.message_id,
        "source": body["source"],
        "type": "rollbook.test",
        "subject": webhook["id"],
        "time": body["time"],
        "datacontenttype": "application/json",
        "dataschema": "urn:rollbook:rollbook.test:1",
        "data": {},
        "position": "3",
        "version": 3,
        "actor": "token:admin",
        "correlationid": "r-1",
        "personal": "open",
    }
    directory.endpoints.answer = Answer(error="timeout", seconds=10.0)
    failed = (await admin.post(f"{path}/test")).json()
    assert (failed["delivered"], failed["status"], failed["error"]) == (False, None, "timeout")
    secret = Verifier(rotated["secret"])
    signature = secret.sign(sent.message_id, datetime.now(UTC), sent.body.decode())
    headers = {
        "webhook-id": sent.message_id,
        "webhook-timestamp": str(int(datetime.now(UTC).timestamp())),
        "webhook-signature": signature,
    }
    assert secret.verify(sent.body, headers) == body, "the secret is one of Standard Webhooks"


async def test_the_state_of_the_deliveries_is_shown(
    directory: Directory, admin: AsyncClient
) -> None:
    webhook = await create(admin, after=0)
    await registered(admin)
    directory.deliveries.stored[UUID(webhook["id"])] = DeliveryState(
        position=1,
        delivered=7,
        failed=2,
        last_success_at=NOW,
        last_failure_at=NOW + timedelta(seconds=1),
        failing_since=NOW + timedelta(seconds=1),
        next_attempt_at=NOW + timedelta(seconds=2),
        parked=3,
    )
    path = f"{ALL}/{webhook['id']}"
    shown = (await admin.get(path)).json()
    assert {name: shown[name] for name in shown if shown[name] != webhook.get(name)} == {
        "status": "failing",
        "position": 1,
        "delivered": 7,
        "failed": 2,
        "parked": 3,
        "last_success_at": "2026-03-01T09:30:00.000000Z",
        "last_failure_at": "2026-03-01T09:30:01.000000Z",
        "failing_since": "2026-03-01T09:30:01.000000Z",
        "next_attempt_at": "2026-03-01T09:30:02.000000Z",
    }
    assert (await admin.get(ALL)).json()["items"] == [shown]
    await admin.post(f"{path}/pause")
    assert (await admin.get(path)).json()["status"] == "paused"


async def test_attempts_are_listed_from_the_newest_on(
    directory: Directory, admin: AsyncClient
) -> None:
    webhook = await create(admin)
    user, event = uuid7(), uuid7()
    directory.deliveries.made[UUID(webhook["id"])] = [
        Attempt(
            number=number,
            event_id=event,
            user=user,
            position=12,
            status=None if number == 3 else 500,
            error="timeout" if number == 3 else None,
            milliseconds=17,
            at=NOW,
            tries=number,
        )
        for number in (1, 2, 3)
    ]
    path = f"{ALL}/{webhook['id']}/attempts"
    first = (await admin.get(path, params={"limit": 2})).json()
    assert first["items"][0] == {
        "number": 3,
        "event_id": str(event),
        "user": str(user),
        "position": 12,
        "status": None,
        "error": "timeout",
        "milliseconds": 17,
        "at": "2026-03-01T09:30:00.000000Z",
        "tries": 3,
    }
    rest = (await admin.get(path, params={"cursor": first["next_cursor"]})).json()
    numbers = [each["number"] for each in (*first["items"], *rest["items"])]
    assert (numbers, rest["next_cursor"]) == ([3, 2, 1], None)


async def test_parked_users_are_listed_and_retried(
    directory: Directory, admin: AsyncClient
) -> None:
    webhook = await create(admin)
    users = sorted(uuid7() for _ in range(3))
    directory.deliveries.waiting[UUID(webhook["id"])] = {
        user: ParkedUser(
            user=user, position=4, tries=2, error="http-500", parked_at=NOW, next_attempt_at=None
        )
        for user in users
    }
    path = f"{ALL}/{webhook['id']}/parked"
    first = (await admin.get(path, params={"limit": 2})).json()
    assert first["items"][0] == {
        "user": str(users[0]),
        "position": 4,
        "tries": 2,
        "error": "http-500",
        "parked_at": "2026-03-01T09:30:00.000000Z",
        "next_attempt_at": None,
    }
    rest = (await admin.get(path, params={"cursor": first["next_cursor"]})).json()
    found = [each["user"] for each in (*first["items"], *rest["items"])]
    assert (found, rest["next_cursor"]) == ([str(user) for user in users], None)
    answer = await admin.post(f"{path}/{users[1]}/retry")
    assert (answer.status_code, answer.json()) == (
        200,
        {"webhook": webhook["id"], "user": str(users[1])},
    )
    assert directory.deliveries.retried == [(UUID(webhook["id"]), users[1])]
    assert (await admin.post(f"{path}/{uuid7()}/retry")).status_code == 404
