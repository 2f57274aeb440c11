"""Any sequence of commands leaves a webhook as a simple model of it says."""

from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.errors import WebhookNotFound
from domain.event import ERASED
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
from domain.webhook.events import WebhookEvent
from domain.webhook.state import Webhook, evolve, fold

URLS = st.sampled_from(["https://a.example/", "https://b.example/"])
TYPES = st.sampled_from([("user.*",), ("user.deleted", "user.renamed")])
USERS = st.sampled_from([None, UUID(int=1)])
ACCESS = st.sampled_from(["open", "sealed"])
DESCRIPTIONS = st.sampled_from([None, "Payroll"])
REQUESTS = st.sampled_from([UUID(int=number) for number in range(1, 4)])
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "url": URLS,
        "types": TYPES,
        "user": USERS,
        "personal_data": ACCESS,
        "description": DESCRIPTIONS,
    },
)


class WebhookMachine(RuleBasedStateMachine):
    """The model is a dictionary of the settings, a status and the counted rotations and replays."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[WebhookEvent] = []
        self.webhook: Webhook | None = None
        self.settings: dict[str, Any] = {}
        self.status = "active"
        self.last: dict[str, UUID | None] = {}

    def do(self, command: WebhookCommand, expected: int) -> None:
        """Apply the command: it causes this number of events."""
        events = decide(self.webhook, command)
        assert len(events) == expected
        for event in events:
            self.webhook = evolve(self.webhook, event)
        self.history += events

    @initialize(url=URLS, types=TYPES, user=USERS, access=ACCESS)
    def create(self, url: str, types: tuple[str, ...], user: UUID | None, access: Any) -> None:
        self.settings = {"url": url, "types": types, "user": user, "personal_data": access}
        self.do(CreateWebhook(**self.settings), 1)
        self.settings["description"] = None

    @precondition(lambda self: self.status != "deleted")
    @rule(changes=CHANGES)
    def change(self, changes: dict[str, Any]) -> None:
        differing = sum(self.settings[name] != value for name, value in changes.items())
        self.do(ChangeWebhook(**changes), differing)
        self.settings |= changes

    @precondition(lambda self: self.status != "deleted")
    @rule(request=REQUESTS)
    def rotate(self, request: UUID) -> None:
        self.do(RotateSecret(request), self.last.get("rotation") != request)
        self.last["rotation"] = request

    @precondition(lambda self: self.status != "deleted")
    @rule(request=REQUESTS)
    def replay(self, request: UUID) -> None:
        command = ReplayWebhook(after=0, request=request)
        self.do(command, self.last.get("replay") != request)
        self.last["replay"] = request

    @precondition(lambda self: self.status != "deleted")
    @rule(command=st.sampled_from([PauseWebhook("why"), DisableWebhook("no-success")]))
    def stop(self, command: PauseWebhook | DisableWebhook) -> None:
        self.do(command, self.status == "active")
        if self.status == "active":
            self.status = "paused" if isinstance(command, PauseWebhook) else "disabled"

    @precondition(lambda self: self.status != "deleted")
    @rule()
    def resume(self) -> None:
        self.do(ResumeWebhook(), self.status != "active")
        self.status = "active"

    @rule()
    def delete(self) -> None:
        self.do(DeleteWebhook(), self.status != "deleted")
        self.status = "deleted"

    @precondition(lambda self: self.status == "deleted")
    @rule(command=st.sampled_from([ChangeWebhook(), ResumeWebhook(), RotateSecret(UUID(int=9))]))
    def refuse(self, command: WebhookCommand) -> None:
        try:
            decide(self.webhook, command)
        except WebhookNotFound:
            return
        raise AssertionError("a deleted webhook took a command")

    @invariant()
    def is_as_the_model_says(self) -> None:
        if self.webhook is None:
            return
        assert self.webhook == fold(self.history)
        assert self.webhook.status == self.status
        gone = {"url": ERASED, "description": ERASED} if self.status == "deleted" else {}
        for name, value in {**self.settings, **gone}.items():
            assert getattr(self.webhook, name) == value
        reasons = {"paused": "why", "disabled": "no-success"}
        assert self.webhook.reason == reasons.get(self.status)


TestWebhookMachine = WebhookMachine.TestCase
