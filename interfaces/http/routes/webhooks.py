"""Webhooks: create, list, read, change and delete them."""

from typing import Any

from fastapi import Response

from domain.errors import TooManyWebhooks
from domain.webhook.commands import (
    ChangeWebhook,
    CreateWebhook,
)
from interfaces.http.endpoint.answers import resource_list
from interfaces.http.endpoint.call import Command, Nothing, Query
from interfaces.http.endpoint.operation import operation
from interfaces.http.protocol.body import JSON, MERGE_PATCH
from interfaces.http.protocol.consistency import POSITION
from interfaces.http.protocol.idempotency import IDEMPOTENCY_KEY
from interfaces.http.protocol.preconditions import IF_MATCH
from interfaces.http.protocol.refusals import InvalidRequest
from interfaces.http.protocol.validation import NoParameters
from interfaces.http.routes.webhook_calls import (
    ONE_WEBHOOK,
    TAGGED,
    WEBHOOKS,
    WEBHOOKS_TAG,
    answered,
    changed,
    check_position,
    check_target,
    context_of,
    existing,
    webhook_id_of,
    with_secret,
)
from interfaces.http.schemas.webhook_answers import (
    Webhook,
    WebhookList,
    WebhookWithSecret,
)
from interfaces.http.schemas.webhooks import (
    ChangeWebhookBody,
    CreateWebhookBody,
)


@operation(
    "POST",
    WEBHOOKS,
    tag=WEBHOOKS_TAG,
    summary="Create a webhook: events are posted to its URL from now on",
    answers=WebhookWithSecret,
    status=201,
    body_required=True,
    problems=("position-gone",),
    secrets=("secret",),
    answer_headers=("ETag", "Location"),
)
async def create_webhook(call: Command[CreateWebhookBody]) -> Response:
    """`secret` verifies the deliveries. It is shown in this answer only."""
    asked, services = call.body, call.services
    if asked.after is not None:
        await check_position(call, "after", asked.after)
    await check_target(call, asked.url)
    command = CreateWebhook(
        url=asked.url,
        types=asked.types,
        user=asked.user,
        personal_data=asked.personal,
        description=asked.description,
        after=asked.after,
    )
    webhook_id = call.job_id or services.new_id()
    try:
        outcome = await services.webhooks.commands.create(webhook_id, command, context_of(call))
    except TooManyWebhooks as error:
        raise InvalidRequest.at("#", str(error)) from None
    return await with_secret(call, outcome.state, outcome.position, status=201)


@operation(
    "GET",
    WEBHOOKS,
    tag=WEBHOOKS_TAG,
    summary="List the webhooks",
    answers=WebhookList,
)
async def list_webhooks(call: Query[NoParameters]) -> Response:
    """All of them, at most 100, the oldest first."""
    services, head = call.services, await call.log_position()
    webhooks = await services.webhooks.commands.webhooks()
    states = await services.webhooks.records.states()
    now = services.now()
    items = [Webhook.of(each, states.get(each.id), head=head, now=now) for each in webhooks]
    page = WebhookList(items=items, next_cursor=None, position=head)
    return await resource_list(call, page, head)


@operation(
    "GET",
    ONE_WEBHOOK,
    tag=WEBHOOKS_TAG,
    summary="Read a webhook",
    answers=Webhook,
    answer_headers=TAGGED,
)
async def read_webhook(call: Query[NoParameters]) -> Response:
    position = await call.log_position()
    return await answered(call, await existing(call), position)


@operation(
    "PATCH",
    ONE_WEBHOOK,
    tag=WEBHOOKS_TAG,
    summary="Change a webhook",
    answers=Webhook,
    answer_headers=TAGGED,
    headers=(IDEMPOTENCY_KEY, IF_MATCH),
    accepts=(MERGE_PATCH, JSON),
    body_required=True,
)
async def change_webhook(call: Command[ChangeWebhookBody]) -> Response:
    """A JSON merge patch (RFC 7396). Deliveries go on where they are."""
    changes = dict[str, Any](call.body)
    await existing(call)
    if "url" in changes:
        await check_target(call, changes["url"])
    if "personal" in changes:
        changes["personal_data"] = changes.pop("personal")
    return await changed(call, ChangeWebhook(**changes))


@operation(
    "DELETE",
    ONE_WEBHOOK,
    tag=WEBHOOKS_TAG,
    summary="Delete a webhook",
    answers=None,
    status=204,
)
async def delete_webhook(call: Command[Nothing]) -> Response:
    """For good; deliveries end within a few seconds. A repeat records nothing."""
    position = await call.services.webhooks.commands.delete(webhook_id_of(call), context_of(call))
    return Response(status_code=204, headers={POSITION: str(position)})
