"""Random lives of a user over HTTP on Postgres, compared with a small model at every step."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import count
from typing import Any, ClassVar, Final

import pytest
import uvloop
from httpx2 import AsyncClient, Response
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.domain.test_user_state_machine import Model, attributes, canonical, merge_patch
from tests.support.http.in_process import in_process
from tests.support.servers.postgres import scaled

NUMBERS: Final = count()

# Spellings and the mailbox that each stands for; two users compete for them.
MAILBOXES: Final = {
    "zoe@example.com": "zoe",
    "ZOE@Example.com": "zoe",
    "asa@exämple.com": "asa",
    "ASA@xn--exmple-cua.com": "asa",
    "rival@example.com": "rival",
}
names = st.sampled_from(["Zoë", "李雷", "Åsa"])
emails = st.sampled_from(sorted(MAILBOXES))
roles = st.sampled_from(["member", "lead"])
external_ids = st.sampled_from(["hr-7", "a, b\\", None])
reasons = st.sampled_from([None, "on leave"])
patches = st.fixed_dictionaries(
    {},
    optional={
        "name": names,
        "email": emails,
        "role": roles,
        "external_id": external_ids,
        "attributes": attributes,
    },
)


class Installation:
    """The whole product in this process, and a synchronous client of it."""

    def __init__(self, runner: asyncio.Runner, client: AsyncClient) -> None:
        self._runner = runner
        self._client = client

    def send(self, method: str, path: str, **request: Any) -> Response:
        return self._runner.run(self._client.request(method, path, **request))


@pytest.fixture
def installation(database_url: str) -> Iterator[Installation]:
    stack = AsyncExitStack()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        client = runner.run(stack.enter_async_context(in_process(database_url)))
        yield Installation(runner, client)
        runner.run(stack.aclose())


class LifeOverHttp(RuleBasedStateMachine):
    """A user, and a rival user that claims the same addresses and external ids."""

    installation: ClassVar[Installation]

    @initialize(name=names, email=emails, external_id=external_ids, new_attributes=attributes)
    def register(self, name: str, email: str, external_id: str | None, new_attributes: Any) -> None:
        self.past: list[dict[str, Any]] = []
        self.rival_holds: dict[str, str | None] = {"email": None, "external_id": None}
        fields = {
            "name": name,
            "email": email,
            "external_id": external_id,
            "attributes": new_attributes,
        }
        rival = {"name": "Rival", "email": f"rival{next(NUMBERS)}@example.net"}
        self.rival = self._send("POST", "/v1/users", rival).json()["id"]
        answer = self._send("POST", "/v1/users", fields)
        self.path = answer.headers["Location"]
        self.model = Model(**fields, role="member")
        self.version = 0
        self._assert_succeeded(answer, 1, status=201)

    def teardown(self) -> None:
        if hasattr(self, "path"):
            # Free all values that these two users hold, for the next run.
            assert self._send("DELETE", self.path).status_code == 204
            assert self._send("DELETE", f"/v1/users/{self.rival}").status_code == 204

    @rule()
    def register_again(self) -> None:
        body = {
            "id": self.path.rpartition("/")[2],
            "name": "Zoë",
            "email": f"again{next(NUMBERS)}@example.net",
        }
        self._assert_refused(self._send("POST", "/v1/users", body), 409, "user-exists")

    @rule(name=names, email=emails, role=roles, external_id=external_ids, new_attributes=attributes)
    def replace(
        self, name: str, email: str, role: str, external_id: Any, new_attributes: Any
    ) -> None:
        fields = {
            "name": name,
            "email": email,
            "role": role,
            "external_id": external_id,
            "attributes": new_attributes,
        }
        self._edit("PUT", fields, fields)

    @rule(patch=patches)
    def change(self, patch: dict[str, Any]) -> None:
        wanted = dict(patch)
        if "attributes" in patch:
            wanted["attributes"] = merge_patch(self.model.fields["attributes"], patch["attributes"])
        self._edit("PATCH", patch, wanted)

    @rule(reason=reasons)
    def suspend(self, reason: str | None) -> None:
        self._set_suspended("suspend", reason, to=True)

    @rule(reason=reasons)
    def reinstate(self, reason: str | None) -> None:
        self._set_suspended("reinstate", reason, to=False)

    @rule()
    def delete(self) -> None:
        answer = self._command("DELETE", self.path)
        assert (answer.status_code, answer.content) == (204, b"")
        if not self.model.erased:
            self.version += self.model.set("deleted", to=True)
            self.past += [{}] * (self.version - len(self.past))

    @rule()
    def restore(self) -> None:
        answer = self._command("POST", f"{self.path}/restore")
        if self.model.erased:
            self._assert_refused(answer, 410, "user-erased")
        elif self.model.deleted and self._is_taken(self.model.fields):
            self._assert_refused_as_taken(answer, self.model.fields)
        else:
            self._assert_succeeded(answer, self.model.set("deleted", to=False))

    @rule(seldom=st.integers(0, 9))
    def erase(self, seldom: int) -> None:
        if seldom > 0:
            return
        answer = self._command("POST", f"{self.path}/erase", {"reason": "retention"})
        assert answer.status_code in (200, 202)
        again = self._send("POST", f"{self.path}/erase")
        if answer.status_code == again.status_code == 200:
            assert again.json() == answer.json()
        self.version += self.model.set("erased", to=True)
        self.past += [{}] * (self.version - len(self.past))

    @rule(email=emails, external_id=external_ids)
    def rival_wants(self, email: str, external_id: str | None) -> None:
        wanted = {"email": email, "external_id": external_id}
        answer = self._send("PATCH", f"/v1/users/{self.rival}", wanted)
        held = {} if self.model.deleted or self.model.erased else self._claims(self.model.fields)
        clash = [scope for scope, value in self._claims(wanted).items() if held.get(scope) == value]
        if clash:
            assert answer.status_code == 409
            assert self.path.endswith(answer.json()["holder"])
        else:
            assert answer.status_code == 200
            self.rival_holds = {"email": email, "external_id": external_id}

    @invariant()
    def the_user_is_shown_as_the_model_is(self) -> None:
        if not hasattr(self, "path"):
            return
        answer = self._send("GET", self.path)
        if self.model.status in ("deleted", "erased"):
            self._assert_refused(answer, 410, f"user-{self.model.status}")
            return
        assert answer.headers["ETag"] == f'"{self.version}"'
        self._assert_equals_model(answer.json())

    @rule(choice=st.integers(0, 100))
    def the_past_stays_as_it_was(self, choice: int) -> None:
        version = choice % len(self.past) + 1
        answer = self._send("GET", f"{self.path}?version={version}")
        if self.model.erased:
            self._assert_refused(answer, 410, "user-erased")
        else:
            assert answer.json()["version"] == version
            assert answer.json().items() >= self.past[version - 1].items()

    def _edit(self, method: str, body: dict[str, Any], wanted: dict[str, Any]) -> None:
        answer = self._command(method, self.path, body)
        if self.model.status in ("deleted", "erased"):
            self._assert_refused(answer, 410, f"user-{self.model.status}")
        elif self._is_taken(wanted):
            self._assert_refused_as_taken(answer, wanted)
        else:
            self._assert_succeeded(answer, self.model.edit(**wanted))

    def _set_suspended(self, action: str, reason: str | None, *, to: bool) -> None:
        body = None if reason is None else {"reason": reason}
        answer = self._command("POST", f"{self.path}/{action}", body)
        if self.model.status in ("deleted", "erased"):
            self._assert_refused(answer, 410, f"user-{self.model.status}")
        else:
            self._assert_succeeded(answer, self.model.set("suspended", to=to))

    def _command(self, method: str, path: str, body: dict[str, Any] | None = None) -> Response:
        """Send with an idempotency key and If-Match; every third number is also sent again."""
        number = next(NUMBERS)
        if number % 4 == 0:
            stale = self._send(method, path, body, {"If-Match": f'"{self.version + 1}"'})
            assert stale.status_code in (410, 412)
        headers = {"Idempotency-Key": f"key-{number}", "If-Match": f'W/"x", "{self.version}"'}
        first = self._send(method, path, body, headers)
        if number % 3 == 0 and first.is_success:
            again = self._send(method, path, body, headers)
            assert again.headers["Idempotency-Replayed"] == "true"
            assert (again.status_code, again.content) == (first.status_code, first.content)
        return first

    def _send(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Response:
        content = {} if body is None else {"json": body}
        return self.installation.send(method, path, headers=headers, **content)

    def _assert_succeeded(self, answer: Response, events: int, status: int = 200) -> None:
        assert answer.status_code == status, answer.text
        self.version += events
        self.past += [{}] * (self.version - len(self.past))
        self.past[-1] = answer.json()
        assert answer.headers["ETag"] == f'"{self.version}"'
        self._assert_equals_model(answer.json())

    def _assert_equals_model(self, shown: dict[str, Any]) -> None:
        expected = dict(self.model.fields)
        assert canonical(shown["attributes"]) == canonical(expected.pop("attributes"))
        assert shown.items() >= expected.items()
        assert (shown["status"], shown["version"]) == (self.model.status, self.version)

    def _assert_refused(self, answer: Response, status: int, slug: str) -> None:
        assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}")
        if status == 410:
            assert answer.json()["version"] == self.version

    def _assert_refused_as_taken(self, answer: Response, wanted: dict[str, Any]) -> None:
        # If both values are taken, the address is reported.
        scope = next(s for s in ("email", "external_id") if s in self._taken(wanted))
        self._assert_refused(answer, 409, f"{scope.replace('_', '-')}-taken")
        assert answer.json()["holder"] == self.rival

    def _is_taken(self, wanted: dict[str, Any]) -> bool:
        return bool(self._taken(wanted))

    def _taken(self, wanted: dict[str, Any]) -> set[str]:
        rival = self._claims(self.rival_holds)
        return {scope for scope, value in self._claims(wanted).items() if rival.get(scope) == value}

    @staticmethod
    def _claims(fields: dict[str, Any]) -> dict[str, str]:
        email, external_id = fields.get("email"), fields.get("external_id")
        mailbox = {} if email is None else {"email": MAILBOXES[email]}
        return mailbox | ({} if external_id is None else {"external_id": external_id})


def test_a_random_life_over_http_equals_the_model(installation: Installation) -> None:
    LifeOverHttp.installation = installation
    run_state_machine_as_test(
        LifeOverHttp,
        settings=settings(max_examples=scaled(10), stateful_step_count=25, deadline=None),
    )
