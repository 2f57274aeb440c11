"""Webhooks: create, list, change, test, pause, replay and delete them."""

from typing import Any, Final
from uuid import UUID

from fastapi import Response
from msgspec.structs import replace

from application.context import Context
from application.webhooks.delivery_ports import TargetRefused
from application.webhooks.service import Change
from application.webhooks.states import WebhookAt
from application.webhooks.testing import send_test
from domain.errors import TooManyWebhooks, WebhookNotFound
from domain.webhook.commands import (
    ChangeWebhook,
    CreateWebhook,
    PauseWebhook,
    ReplayWebhook,
    ResumeWebhook,
    RotateSecret,
)
from interfaces.http.endpoint.answers import resource, resource_list
from interfaces.http.endpoint.call import Call, Command, Nothing, Query
from interfaces.http.endpoint.operation import operation
from interfaces.http.protocol.body import JSON, MERGE_PATCH
from interfaces.http.protocol.consistency import POSITION
from interfaces.http.protocol.idempotency import IDEMPOTENCY_KEY
from interfaces.http.protocol.preconditions import IF_MATCH, etag
from interfaces.http.protocol.refusals import InvalidRequest
from interfaces.http.protocol.validation import NoParameters
from interfaces.http.schemas.webhook_answers import (
    Webhook,
    WebhookList,
    WebhookTest,
    WebhookWithSecret,
)
from interfaces.http.schemas.webhooks import (
    ChangeWebhookBody,
    CreateWebhookBody,
    PauseWebhookBody,
    ReplayWebhookBody,
)

_TAG: Final = "Webhooks"
_ALL: Final = "/v1/webhooks"
_ONE: Final = f"{_ALL}/{{webhook_id}}"


@operation(
    "POST",
    _ALL,
    tag=_TAG,
    summary="Create a webhook: events are posted to its URL from now on",
    needs="admin",
    answers=WebhookWithSecret,
    status=201,
    body_required=True,
    problems=("position-gone",),
    secrets=("secret",),
)
async def create_webhook(call: Command[CreateWebhookBody]) -> Response:
    """`secret` verifies the deliveries. It is shown in this answer only."""
    asked, services = call.body, call.services
    if asked.after is not None:
        await _check_position(call, "after", asked.after)
    await _check_target(call, asked.url)
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
        outcome = await services.webhooks.commands.create(webhook_id, command, _context(call))
    except TooManyWebhooks as error:
        raise InvalidRequest.at("#", str(error)) from None
    return await _with_secret(call, outcome.state, outcome.position, status=201)


@operation("GET", _ALL, tag=_TAG, summary="List the webhooks", needs="admin", answers=WebhookList)
async def list_webhooks(call: Query[NoParameters]) -> Response:
    """All of them, at most 100, the oldest first."""
    services, head = call.services, await call.log_position()
    webhooks = await services.webhooks.commands.webhooks()
    states = await services.webhooks.records.states()
    now = services.now()
    items = [Webhook.of(each, states.get(each.id), head=head, now=now) for each in webhooks]
    page = WebhookList(items=items, next_cursor=None, position=head)
    return await resource_list(call, page, head)


@operation("GET", _ONE, tag=_TAG, summary="Read a webhook", needs="admin", answers=Webhook)
async def read_webhook(call: Query[NoParameters]) -> Response:
    position = await call.log_position()
    return await _answer(call, await existing(call), position)


@operation(
    "PATCH",
    _ONE,
    tag=_TAG,
    summary="Change a webhook",
    needs="admin",
    answers=Webhook,
    headers=(IDEMPOTENCY_KEY, IF_MATCH),
    accepts=(MERGE_PATCH, JSON),
    body_required=True,
)
async def change_webhook(call: Command[ChangeWebhookBody]) -> Response:
    """A JSON merge patch (RFC 7396). Deliveries go on where they are."""
    changes = dict[str, Any](call.body)
    await existing(call)
    if "url" in changes:
        await _check_target(call, changes["url"])
    if "personal" in changes:
        changes["personal_data"] = changes.pop("personal")
    return await _changed(call, ChangeWebhook(**changes))


@operation(
    "DELETE", _ONE, tag=_TAG, summary="Delete a webhook", needs="admin", answers=None, status=204
)
async def delete_webhook(call: Command[Nothing]) -> Response:
    """For good; deliveries end within a few seconds. A repeat records nothing."""
    position = await call.services.webhooks.commands.delete(webhook_id_of(call), _context(call))
    return Response(status_code=204, headers={POSITION: str(position)})


@operation(
    "POST",
    f"{_ONE}/test",
    tag=_TAG,
    summary="Send a test delivery now, and see what the endpoint says",
    needs="admin",
    answers=WebhookTest,
)
async def test_webhook(call: Command[Nothing]) -> Response:
    """One signed request of the type `rollbook.test`, also to a webhook that is paused or
    disabled. It takes 10 seconds at most, is not tried again, and changes no status.
    """
    services, webhook = call.services, await existing(call)
    head, message_id = await call.log_position(), call.job_id or services.new_id()
    answer = await send_test(
        webhook,
        services.webhooks.sender,
        services.webhooks.secrets,
        message_id=message_id,
        log_id=services.log_id,
        head=head,
        actor=call.principal.actor,
        correlation_id=call.context.correlation_id,
        now=services.now(),
    )
    return resource(WebhookTest.of(message_id, answer), head)


@operation(
    "POST",
    f"{_ONE}/rotate-secret",
    tag=_TAG,
    summary="Make a new secret; the former one also signs for 24 hours",
    needs="admin",
    answers=WebhookWithSecret,
    secrets=("secret",),
)
async def rotate_webhook_secret(call: Command[Nothing]) -> Response:
    """`secret` is shown in this answer only. A rotation within these 24 hours ends the first of the
    three secrets at once.
    """
    command = RotateSecret(_request_id(call))
    outcome = await call.services.webhooks.commands.execute(
        webhook_id_of(call), command, _context(call)
    )
    return await _with_secret(call, outcome.state, outcome.position)


@operation(
    "POST",
    f"{_ONE}/pause",
    tag=_TAG,
    summary="Pause a webhook: it keeps its position",
    needs="admin",
    answers=Webhook,
)
async def pause_webhook(call: Command[PauseWebhookBody]) -> Response:
    return await _changed(call, PauseWebhook(call.body.reason))


@operation(
    "POST",
    f"{_ONE}/resume",
    tag=_TAG,
    summary="Resume a webhook that is paused or disabled, from its position on",
    needs="admin",
    answers=Webhook,
)
async def resume_webhook(call: Command[Nothing]) -> Response:
    return await _changed(call, ResumeWebhook())


@operation(
    "POST",
    f"{_ONE}/replay",
    tag=_TAG,
    summary="Deliver events again",
    needs="admin",
    answers=Webhook,
    body_required=True,
    problems=("position-gone",),
)
async def replay_webhook(call: Command[ReplayWebhookBody]) -> Response:
    """Each is sent with the same `webhook-id` as before."""
    asked = call.body
    await existing(call)
    await _check_position(call, "after", asked.after)
    if asked.until is not None:
        if asked.until <= asked.after:
            raise InvalidRequest.at("#/until", "Must be above `after`.")
        await _check_position(call, "until", asked.until)
    command = ReplayWebhook(after=asked.after, until=asked.until, request=_request_id(call))
    return await _changed(call, command)


def webhook_id_of(call: Call[Any, Any]) -> UUID:
    """The webhook in the path. Raises `WebhookNotFound` if it is not an id."""
    return call.id_in_path("webhook_id", WebhookNotFound)


async def existing(call: Call[Any, Any]) -> WebhookAt:
    """The webhook in the path as it is now. Raises `WebhookNotFound`."""
    return await call.services.webhooks.commands.webhook(webhook_id_of(call))


def _context(call: Call[Any, Any]) -> Context:
    """Without the key: the answer is kept beside the log."""
    return replace(call.context, idempotency=None)


def _request_id(call: Call[Any, Any]) -> UUID:
    """The same in each attempt of one request."""
    return call.job_id or call.services.new_id()


async def _check_target(call: Call[Any, Any], url: str) -> None:
    try:
        await call.services.webhooks.targets.check(url)
    except TargetRefused as refused:
        raise InvalidRequest.at("#/url", str(refused)) from None


async def _check_position(call: Call[Any, Any], name: str, position: int) -> None:
    """Raises `InvalidRequest` above the head, and `PositionGone` where no event can be."""
    feed = call.services.feed
    head = await feed.head()
    if position > head:
        raise InvalidRequest.at(f"#/{name}", f"Is above the head of the log, {head}.")
    await feed.read(position, 1)


async def _changed(call: Call[Any, Any], command: Change) -> Response:
    outcome = await call.services.webhooks.commands.execute(
        webhook_id_of(call), command, _context(call), if_match=call.if_match
    )
    return await _answer(call, outcome.state, outcome.position)


async def _answer(call: Call[Any, Any], webhook: WebhookAt, position: int) -> Response:
    services = call.services
    delivery = (await services.webhooks.records.states()).get(webhook.id)
    body = Webhook.of(webhook, delivery, head=position, now=services.now())
    return resource(body, position, headers={"ETag": etag(webhook.version)})


async def _with_secret(
    call: Call[Any, Any], webhook: WebhookAt, position: int, status: int = 200
) -> Response:
    services = call.services
    secret = services.webhooks.secrets.webhook_secret(webhook.id, webhook.secret.version)
    delivery = (await services.webhooks.records.states()).get(webhook.id)
    body = WebhookWithSecret.of(webhook, delivery, head=position, now=services.now(), secret=secret)
    headers = {"ETag": etag(webhook.version)}
    if status == 201:
        headers["Location"] = f"{_ALL}/{webhook.id}"
    return resource(body, position, status, headers)
