"""Commands to a webhook: test it, rotate its secret, pause, resume and replay."""

from fastapi import Response

from application.webhooks.testing import send_test
from domain.webhook.commands import (
    PauseWebhook,
    ReplayWebhook,
    ResumeWebhook,
    RotateSecret,
)
from interfaces.http.endpoint.answers import resource
from interfaces.http.endpoint.call import Command, Nothing
from interfaces.http.endpoint.operation import operation
from interfaces.http.protocol.refusals import InvalidRequest
from interfaces.http.routes.webhook_calls import (
    ONE_WEBHOOK,
    TAGGED,
    WEBHOOKS_TAG,
    changed,
    check_position,
    context_of,
    existing,
    request_id,
    webhook_id_of,
    with_secret,
)
from interfaces.http.schemas.webhook_answers import (
    Webhook,
    WebhookTest,
    WebhookWithSecret,
)
from interfaces.http.schemas.webhooks import (
    PauseWebhookBody,
    ReplayWebhookBody,
)


@operation(
    "POST",
    f"{ONE_WEBHOOK}/test",
    tag=WEBHOOKS_TAG,
    summary="Send a test delivery now, and see what the endpoint says",
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
    f"{ONE_WEBHOOK}/rotate-secret",
    tag=WEBHOOKS_TAG,
    summary="Make a new secret; the former one also signs for 24 hours",
    answers=WebhookWithSecret,
    secrets=("secret",),
    answer_headers=TAGGED,
)
async def rotate_webhook_secret(call: Command[Nothing]) -> Response:
    """`secret` is shown in this answer only. A rotation within these 24 hours ends the first of the
    three secrets at once.
    """
    command = RotateSecret(request_id(call))
    outcome = await call.services.webhooks.commands.execute(
        webhook_id_of(call), command, context_of(call)
    )
    return await with_secret(call, outcome.state, outcome.position)


@operation(
    "POST",
    f"{ONE_WEBHOOK}/pause",
    tag=WEBHOOKS_TAG,
    summary="Pause a webhook: it keeps its position",
    answers=Webhook,
    answer_headers=TAGGED,
)
async def pause_webhook(call: Command[PauseWebhookBody]) -> Response:
    return await changed(call, PauseWebhook(call.body.reason))


@operation(
    "POST",
    f"{ONE_WEBHOOK}/resume",
    tag=WEBHOOKS_TAG,
    summary="Resume a webhook that is paused or disabled, from its position on",
    answers=Webhook,
    answer_headers=TAGGED,
)
async def resume_webhook(call: Command[Nothing]) -> Response:
    return await changed(call, ResumeWebhook())


@operation(
    "POST",
    f"{ONE_WEBHOOK}/replay",
    tag=WEBHOOKS_TAG,
    summary="Deliver events again",
    answers=Webhook,
    answer_headers=TAGGED,
    body_required=True,
    problems=("position-gone",),
)
async def replay_webhook(call: Command[ReplayWebhookBody]) -> Response:
    """Each is sent with the same `webhook-id` as before."""
    asked = call.body
    await existing(call)
    await check_position(call, "after", asked.after)
    if asked.until is not None:
        if asked.until <= asked.after:
            raise InvalidRequest.at("#/until", "Must be above `after`.")
        await check_position(call, "until", asked.until)
    command = ReplayWebhook(after=asked.after, until=asked.until, request=request_id(call))
    return await changed(call, command)
