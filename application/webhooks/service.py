"""The commands of a webhook, from the request to the recorded events."""

from uuid import UUID

from msgspec import Struct

from application.context import Context
from application.errors import (
    ClaimTaken,
    PreconditionFailed,
    VersionConflict,
)
from application.log.conflicts import Tries
from application.log.event_log import Appended, Draft, EventLog
from application.users.commands import IfMatch
from application.webhooks.history import KIND, WebhookHistory
from application.webhooks.ports import WebhookDirectory
from application.webhooks.states import WebhookAt, after
from domain.errors import DomainError, TooManyWebhooks, WebhookNotFound
from domain.webhook.claims import SCOPE
from domain.webhook.commands import (
    ChangeWebhook,
    CreateWebhook,
    DeleteWebhook,
    DisableWebhook,
    PauseWebhook,
    ReplayWebhook,
    ResumeWebhook,
    RotateSecret,
)
from domain.webhook.decide import decide
from domain.webhook.events import DisabledReason

Change = (
    ChangeWebhook | RotateSecret | PauseWebhook | ResumeWebhook | DisableWebhook | ReplayWebhook
)


class WebhookOutcome(Struct, frozen=True):
    """The webhook after a command, and the position to pass to queries."""

    state: WebhookAt
    position: int


class WebhookService:
    """All commands of a webhook. A command loads, decides and appends, and repeats all of it after
    a version conflict.

    Contexts have no idempotency key: the answers to these commands are kept beside the log. Each
    command may be repeated. Each method raises `Contended`, `Overloaded`, `Unavailable` and
    `OutcomeUnknown`, and all but `create` raise `WebhookNotFound`.
    """

    def __init__(self, log: EventLog, directory: WebhookDirectory) -> None:
        self._log = log
        self._history = WebhookHistory(log)
        self._directory = directory

    async def create(
        self, webhook_id: UUID, command: CreateWebhook, context: Context
    ) -> WebhookOutcome:
        """Create the webhook. One with this id that exists already is the outcome as it is.

        Raises `TooManyWebhooks`.
        """
        tries = Tries()
        while True:
            place = await self._directory.free_place(webhook_id)
            if place is None:
                return await self._existing(webhook_id, TooManyWebhooks)
            draft = Draft(
                kind=KIND,
                stream=webhook_id,
                after_version=0,
                events=decide(None, command),
                context=context,
                take=((SCOPE, place),),
            )
            try:
                return _outcome(None, await self._log.append(draft))
            except VersionConflict:
                return await self._existing(webhook_id, WebhookNotFound)
            except ClaimTaken:
                # Another webhook was created meanwhile: take the next free place.
                await tries.pause()

    async def execute(
        self,
        webhook_id: UUID,
        command: Change,
        context: Context,
        *,
        if_match: IfMatch | None = None,
    ) -> WebhookOutcome:
        """Decide and record a command. Raises `WebhookUnreadable` and `PreconditionFailed`."""
        tries = Tries()
        while True:
            loaded = await self._history.load(webhook_id)
            state = loaded.state
            if if_match is not None:
                if_match.check(state.version)
            events = decide(state.config, command)
            if not events:
                return WebhookOutcome(state, state.position)
            draft = Draft(
                kind=KIND,
                stream=webhook_id,
                after_version=state.version,
                events=events,
                context=context,
                key=loaded.key,
            )
            try:
                return _outcome(state, await self._log.append(draft))
            except VersionConflict:
                await tries.pause()

    async def disable(
        self, webhook_id: UUID, reason: DisabledReason, context: Context, *, seen: int
    ) -> bool:
        """Disable a webhook that is still at version `seen`, and say whether it is.

        A webhook at a later version may have another URL, so the reason may not hold any more.
        """
        at_seen = IfMatch(frozenset({seen}))
        try:
            await self.execute(webhook_id, DisableWebhook(reason), context, if_match=at_seen)
        except PreconditionFailed:
            return False
        return True

    async def delete(self, webhook_id: UUID, context: Context) -> int:
        """Delete the webhook for good, also one that cannot be read. The position after it."""
        tries = Tries()
        while True:
            last = await self._history.last_event(webhook_id)
            events = decide(last.config, DeleteWebhook())
            if not events:
                return last.position
            draft = Draft(
                kind=KIND,
                stream=webhook_id,
                after_version=last.version,
                events=events,
                context=context,
                release=((SCOPE, None),),
                destroy_key=True,
            )
            try:
                return (await self._log.append(draft)).position
            except VersionConflict:
                await tries.pause()

    async def webhook(self, webhook_id: UUID) -> WebhookAt:
        """The webhook as it is now; a deleted one is not found."""
        return (await self._history.load(webhook_id)).state

    async def webhooks(self) -> list[WebhookAt]:
        """All webhooks that can be read, the oldest first."""
        living = await self._directory.living()
        states = await self._directory.load([each.id for each in living])
        present = [state for state in states.values() if state.config.status != "deleted"]
        return sorted(present, key=lambda state: (state.created_at, state.id))

    async def _existing(self, webhook_id: UUID, missing: type[DomainError]) -> WebhookOutcome:
        """What an earlier attempt created. Raises `missing` if there is no such webhook."""
        try:
            state = await self.webhook(webhook_id)
        except WebhookNotFound:
            raise missing from None
        return WebhookOutcome(state, state.position)


def _outcome(state: WebhookAt | None, appended: Appended) -> WebhookOutcome:
    for recorded in appended.events:
        state = after(state, recorded)
    assert state is not None, "an append has events or a state before it"
    return WebhookOutcome(state, appended.position)
