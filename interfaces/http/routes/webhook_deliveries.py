"""The deliveries of a webhook: its last attempts, and the users whose deliveries wait."""

from uuid import UUID

from fastapi import Response

from interfaces.http.endpoint.answers import resource, resource_list
from interfaces.http.endpoint.call import Command, Nothing, Query
from interfaces.http.endpoint.operation import operation
from interfaces.http.protocol.cursors import PageParameters, Pages
from interfaces.http.protocol.refusals import NotFound
from interfaces.http.routes.webhook_calls import ONE_WEBHOOK, WEBHOOKS_TAG, existing
from interfaces.http.schemas.webhook_answers import (
    WebhookAttempt,
    WebhookAttemptList,
    WebhookParkedList,
    WebhookParkedUser,
    WebhookRetry,
)


@operation(
    "GET",
    f"{ONE_WEBHOOK}/attempts",
    tag=WEBHOOKS_TAG,
    summary="List the last 1,000 requests to the endpoint, the newest first",
    answers=WebhookAttemptList,
)
async def list_webhook_attempts(call: Query[PageParameters]) -> Response:
    """They hold ids, positions and results, and no personal data."""
    services, asked = call.services, call.parameters
    position = await call.log_position()
    webhook = (await existing(call)).id
    pages = Pages(services.cursors, ("webhook attempts", str(webhook)), int)
    before = pages.place(asked.cursor)
    found = await services.webhooks.records.attempts(webhook, before, asked.limit + 1)
    items = found[: asked.limit]
    page = WebhookAttemptList(
        items=[WebhookAttempt.of(each) for each in items],
        next_cursor=pages.cursor(items[-1].number if len(found) > asked.limit else None),
        position=position,
    )
    return await resource_list(call, page, position)


@operation(
    "GET",
    f"{ONE_WEBHOOK}/parked",
    tag=WEBHOOKS_TAG,
    summary="List the users whose deliveries wait, and why",
    answers=WebhookParkedList,
)
async def list_webhook_parked(call: Query[PageParameters]) -> Response:
    """In the order of their ids."""
    services, asked = call.services, call.parameters
    position = await call.log_position()
    webhook = (await existing(call)).id
    pages = Pages(services.cursors, ("webhook parked", str(webhook)), UUID)
    after = pages.place(asked.cursor)
    found = await services.webhooks.parked.parked(webhook, after, asked.limit + 1)
    items = found[: asked.limit]
    page = WebhookParkedList(
        items=[WebhookParkedUser.of(each) for each in items],
        next_cursor=pages.cursor(items[-1].user if len(found) > asked.limit else None),
        position=position,
    )
    return await resource_list(call, page, position)


@operation(
    "POST",
    f"{ONE_WEBHOOK}/parked/{{user}}/retry",
    tag=WEBHOOKS_TAG,
    summary="Try the deliveries of a user again, at once and for another day",
    answers=WebhookRetry,
)
async def retry_webhook_parked(call: Command[Nothing]) -> Response:
    position = await call.log_position()
    webhook, user = (await existing(call)).id, call.id_in_path("user")
    if not await call.services.webhooks.parked.retry(webhook, user) and not call.may_be_done:
        raise NotFound("This user is not parked for this webhook.")
    return resource(WebhookRetry(webhook=webhook, user=user), position)
