"""The rules of a webhook: given a history, when a command comes, then these events follow."""

from uuid import UUID

import pytest
from msgspec.structs import fields, replace

from domain.errors import (
    DomainError,
    WebhookAlreadyExists,
    WebhookNotFound,
    WebhookUnreadable,
)
from domain.event import ERASED, changed_field
from domain.webhook.commands import (
    ChangeWebhook,
    CreateWebhook,
    DeleteWebhook,
    DisableWebhook,
    PauseWebhook,
    ReplayWebhook,
    ResumeWebhook,
    RotateSecret,
    WebhookCommand,
)
from domain.webhook.decide import decide
from domain.webhook.events import (
    WEBHOOK_EVENTS,
    PreviousDescription,
    PreviousPersonalData,
    PreviousStatus,
    PreviousTypes,
    PreviousUrl,
    PreviousUser,
    WebhookCreated,
    WebhookDeleted,
    WebhookDescriptionChanged,
    WebhookDisabled,
    WebhookEvent,
    WebhookFieldChanged,
    WebhookPaused,
    WebhookPersonalDataChanged,
    WebhookReplayed,
    WebhookResumed,
    WebhookSecretRotated,
    WebhookTypesChanged,
    WebhookUrlChanged,
    WebhookUserChanged,
)
from domain.webhook.state import Webhook, evolve, fold

ONE, TWO = UUID(int=1), UUID(int=2)
CREATED = WebhookCreated(url="https://a.example/in", types=("user.*",))
PAUSED = WebhookPaused(reason="they move house")
DISABLED = WebhookDisabled(reason="endpoint-gone")
DELETED = WebhookDeleted()
CHANGES: list[WebhookCommand] = [
    ChangeWebhook(url="https://b.example/in"),
    RotateSecret(ONE),
    PauseWebhook(),
    ResumeWebhook(),
    ReplayWebhook(after=0, request=ONE),
]


def when(*history: WebhookEvent, command: WebhookCommand) -> tuple[WebhookEvent, ...]:
    return decide(fold(history), command)


def refused(*history: WebhookEvent, command: WebhookCommand, error: type[DomainError]) -> None:
    with pytest.raises(error) as refusal:
        decide(fold(history), command)
    assert refusal.type is error


def test_a_webhook_is_created_once():
    command = CreateWebhook(
        url="https://a.example/in", types=("user.deleted",), user=ONE, personal_data="open", after=7
    )
    (created,) = when(command=command)
    assert created == WebhookCreated(
        url="https://a.example/in", types=("user.deleted",), user=ONE, personal_data="open", after=7
    )
    refused(created, command=command, error=WebhookAlreadyExists)
    refused(created, DELETED, command=command, error=WebhookAlreadyExists)


def test_each_changed_field_is_an_event_with_its_earlier_value():
    command = ChangeWebhook(
        url="https://b.example/in",
        types=("user.erased",),
        user=TWO,
        personal_data="open",
        description="Payroll",
    )
    assert when(CREATED, command=command) == (
        WebhookUrlChanged(
            url="https://b.example/in", previous=PreviousUrl(url="https://a.example/in")
        ),
        WebhookTypesChanged(types=("user.erased",), previous=PreviousTypes(types=("user.*",))),
        WebhookUserChanged(user=TWO, previous=PreviousUser(user=None)),
        WebhookPersonalDataChanged(
            personal_data="open", previous=PreviousPersonalData(personal_data="sealed")
        ),
        WebhookDescriptionChanged(
            description="Payroll", previous=PreviousDescription(description=None)
        ),
    )


def test_a_change_to_what_is_already_so_records_nothing():
    same = ChangeWebhook(
        url="https://a.example/in",
        types=("user.*",),
        user=None,
        personal_data="sealed",
        description=None,
    )
    assert when(CREATED, command=same) == ()
    assert when(CREATED, command=ChangeWebhook()) == ()


def test_null_removes_the_user_and_the_description():
    created = replace(CREATED, user=ONE, description="Payroll")
    assert when(created, command=ChangeWebhook(user=None, description=None)) == (
        WebhookUserChanged(user=None, previous=PreviousUser(user=ONE)),
        WebhookDescriptionChanged(
            description=None, previous=PreviousDescription(description="Payroll")
        ),
    )


def test_a_request_that_is_carried_out_twice_rotates_the_secret_once():
    (rotated,) = when(CREATED, command=RotateSecret(ONE))
    assert rotated == WebhookSecretRotated(request=ONE)
    assert when(CREATED, rotated, command=RotateSecret(ONE)) == ()
    assert when(CREATED, rotated, command=RotateSecret(TWO)) != ()


def test_a_request_that_is_carried_out_twice_replays_once():
    command = ReplayWebhook(after=3, until=9, request=ONE)
    (replayed,) = when(CREATED, command=command)
    assert replayed == WebhookReplayed(after=3, until=9, request=ONE)
    assert when(CREATED, replayed, command=command) == ()
    again = ReplayWebhook(after=3, until=9, request=TWO)
    assert when(CREATED, replayed, command=again) == (replace(replayed, request=TWO),)


def test_a_pause_ends_with_a_resumption():
    assert when(CREATED, command=PauseWebhook("they move house")) == (PAUSED,)
    assert when(CREATED, PAUSED, command=PauseWebhook("again")) == ()
    resumed = WebhookResumed(previous=PreviousStatus(status="paused"))
    assert when(CREATED, PAUSED, command=ResumeWebhook()) == (resumed,)
    assert when(CREATED, PAUSED, resumed, command=ResumeWebhook()) == ()
    assert when(CREATED, command=ResumeWebhook()) == ()


def test_a_resumption_enables_a_disabled_webhook():
    resumed = WebhookResumed(previous=PreviousStatus(status="disabled"))
    assert when(CREATED, DISABLED, command=ResumeWebhook()) == (resumed,)


def test_only_an_active_webhook_is_disabled_or_paused():
    assert when(CREATED, command=DisableWebhook("endpoint-gone")) == (DISABLED,)
    assert when(CREATED, PAUSED, command=DisableWebhook("no-success")) == ()
    assert when(CREATED, DISABLED, command=DisableWebhook("no-success")) == ()
    assert when(CREATED, DISABLED, command=PauseWebhook()) == ()


def test_a_deleted_webhook_is_gone():
    assert when(CREATED, command=DeleteWebhook()) == (DELETED,)
    assert when(CREATED, DELETED, command=DeleteWebhook()) == ()
    for command in (*CHANGES, DisableWebhook("no-success")):
        refused(CREATED, DELETED, command=command, error=WebhookNotFound)


def test_no_command_creates_a_webhook_but_the_creation():
    for command in (*CHANGES, DisableWebhook("no-success"), DeleteWebhook()):
        refused(command=command, error=WebhookNotFound)


def test_a_webhook_whose_key_is_lost_can_only_be_deleted_or_disabled():
    lost = replace(CREATED, url=ERASED, description=ERASED)
    for command in CHANGES:
        refused(lost, command=command, error=WebhookUnreadable)
    assert when(lost, command=DeleteWebhook()) == (DELETED,)
    assert when(lost, command=DisableWebhook("endpoint-gone")) == (DISABLED,)


def test_the_state_follows_the_events():
    assert fold([CREATED, PAUSED]) == Webhook(
        url="https://a.example/in",
        types=("user.*",),
        user=None,
        personal_data="sealed",
        description=None,
        status="paused",
        reason="they move house",
    )
    resumed = fold([CREATED, PAUSED, WebhookResumed(previous=PreviousStatus(status="paused"))])
    assert resumed == fold([CREATED])
    deleted = fold([CREATED, PAUSED, DELETED])
    assert deleted is not None
    assert (deleted.status, deleted.url, deleted.reason) == ("deleted", ERASED, None)


def test_a_history_begins_with_the_creation():
    with pytest.raises(ValueError, match="begins with"):
        evolve(None, PAUSED)


def test_what_may_be_a_password_or_a_text_is_sealed_and_nothing_else_is():
    sealed = {f"{event.topic} {name}" for event in WEBHOOK_EVENTS for name in event.personal}
    assert sealed == {
        "webhook.created url",
        "webhook.created description",
        "webhook.url_changed url",
        "webhook.url_changed previous",
        "webhook.description_changed description",
        "webhook.description_changed previous",
        "webhook.paused reason",
    }


def test_an_event_that_sets_one_field_names_it_first_and_then_its_earlier_value():
    for event in WEBHOOK_EVENTS:
        if issubclass(event, WebhookFieldChanged):
            names = [field.name for field in fields(event)]
            assert names == [changed_field(event), "previous"]
