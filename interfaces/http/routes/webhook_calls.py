"""What the operations on webhooks share: the webhook in the path, checks and answers."""

from typing import Any, Final
from uuid import UUID

from fastapi import Response
from msgspec.structs import replace

from application.context import Context
from application.webhooks.delivery_ports import TargetRefused
from application.webhooks.service import Change
from application.webhooks.states import WebhookAt
from domain.errors import WebhookNotFound
from interfaces.http.endpoint.answers import resource
from interfaces.http.endpoint.call import Call
from interfaces.http.protocol.preconditions import etag
from interfaces.http.protocol.refusals import InvalidRequest
from interfaces.http.schemas.webhook_answers import (
    Webhook,
    WebhookWithSecret,
)

WEBHOOKS: Final = "/v1/webhooks"
ONE_WEBHOOK: Final = f"{WEBHOOKS}/{{webhook_id}}"
WEBHOOKS_TAG: Final = "Webhooks"
TAGGED: Final = ("ETag",)


def webhook_id_of(call: Call[Any, Any]) -> UUID:
    """The webhook in the path. Raises `WebhookNotFound` if it is not an id."""
    return call.id_in_path("webhook_id", WebhookNotFound)


async def existing(call: Call[Any, Any]) -> WebhookAt:
    """The webhook in the path as it is now. Raises `WebhookNotFound`."""
    return await call.services.webhooks.commands.webhook(webhook_id_of(call))


def context_of(call: Call[Any, Any]) -> Context:
    """Without the key: the answer is kept beside the log."""
    return replace(call.context, idempotency=None)


def request_id(call: Call[Any, Any]) -> UUID:
    """The same in each attempt of one request."""
    return call.job_id or call.services.new_id()


async def check_target(call: Call[Any, Any], url: str) -> None:
    try:
        await call.services.webhooks.targets.check(url)
    except TargetRefused as refused:
        raise InvalidRequest.at("#/url", str(refused)) from None


async def check_position(call: Call[Any, Any], name: str, position: int) -> None:
    """Raises `InvalidRequest` above the head, and `PositionGone` where no event can be."""
    feed = call.services.feed
    head = await feed.head()
    if position > head:
        raise InvalidRequest.at(f"#/{name}", f"Is above the head of the log, {head}.")
    await feed.read(position, 1)


async def changed(call: Call[Any, Any], command: Change) -> Response:
    outcome = await call.services.webhooks.commands.execute(
        webhook_id_of(call), command, context_of(call), if_match=call.if_match
    )
    return await answered(call, outcome.state, outcome.position)


async def answered(call: Call[Any, Any], webhook: WebhookAt, position: int) -> Response:
    services = call.services
    delivery = (await services.webhooks.records.states()).get(webhook.id)
    body = Webhook.of(webhook, delivery, head=position, now=services.now())
    return resource(body, position, headers={"ETag": etag(webhook.version)})


async def with_secret(
    call: Call[Any, Any], webhook: WebhookAt, position: int, status: int = 200
) -> Response:
    services = call.services
    secret = services.webhooks.secrets.webhook_secret(webhook.id, webhook.secret.version)
    delivery = (await services.webhooks.records.states()).get(webhook.id)
    body = WebhookWithSecret.of(webhook, delivery, head=position, now=services.now(), secret=secret)
    headers = {"ETag": etag(webhook.version)}
    if status == 201:
        headers["Location"] = f"{WEBHOOKS}/{webhook.id}"
    return resource(body, position, status, headers)
