"""Mails of a running Rollbook: an address is changed over HTTP, and the old address gets the notice."""

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.servers.mail import HANG, MailReceiver, mail_settings
from tests.support.servers.prepared_data import prepared
from tests.support.servers.rollbook import RunningRollbook, run_rollbook, until

PAGE = "https://example.org/welcome"


@pytest.fixture(scope="module")
def receiver() -> Iterator[MailReceiver]:
    with MailReceiver().running() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def rollbook(
    receiver: MailReceiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningRollbook]:
    folder = tmp_path_factory.mktemp("mail")
    (folder / "email-change-notice.subject.txt").write_text("Changed at {{ changed_at }}")
    settings = {
        **mail_settings(receiver),
        "ROLLBOOK_WELCOME_URL": PAGE,
        "ROLLBOOK_TEMPLATES": str(folder),
        "ROLLBOOK_LOG_LEVEL": "debug",
    }
    with RunningRollbook(prepared(folder / "data"), **settings) as rollbook:
        yield rollbook


def send(rollbook: RunningRollbook, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {rollbook.token}", "Content-Type": "application/json"}
    data = json.dumps(body).encode()
    request = urllib.request.Request(rollbook.url + path, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def events(rollbook: RunningRollbook, user: str) -> dict[str, str]:
    """The id of the user's last event of each type."""
    request = urllib.request.Request(
        f"{rollbook.url}/v1/events?user={user}",
        headers={"Authorization": f"Bearer {rollbook.token}"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return {each["type"]: each["id"] for each in json.load(answer)["items"]}


def test_a_new_user_is_welcomed_and_the_old_address_gets_the_notice(
    rollbook: RunningRollbook, receiver: MailReceiver
) -> None:
    imported = {"name": "Ada", "email": "ada@example.com", "import_key": "ldap:ada"}
    send(rollbook, "POST", "/v1/users", imported)
    person = {"name": "Gräce <b>", "email": "grace@example.com"}
    user = send(rollbook, "POST", "/v1/users", person)["id"]
    send(rollbook, "PATCH", f"/v1/users/{user}", {"email": "new@example.com"})
    until(lambda: len(receiver.mails_to("grace@example.com")) == 2)
    welcome, notice = sorted(
        receiver.mails_to("grace@example.com"),
        key=lambda mail: mail.message["Subject"],
        reverse=True,
    )
    found = events(rollbook, user)
    assert found["user.registered"] in welcome.message["Message-ID"]
    assert "Hello Gräce <b>," in welcome.text()
    assert f"{PAGE}?user={user}" in welcome.text()
    assert found["user.email_changed"] in notice.message["Message-ID"]
    assert notice.message["Subject"].startswith("Changed at 20")
    assert "new@example.com" not in notice.message.as_string()
    assert receiver.mails_to("new@example.com") == []
    assert receiver.mails_to("ada@example.com") == []
    assert "grace@example.com" not in rollbook.output


def test_a_refused_recipient_is_parked_and_the_next_user_is_not(
    rollbook: RunningRollbook, receiver: MailReceiver
) -> None:
    receiver.replies["refused@example.com"] = ["550 5.1.1 <refused@example.com> is unknown"]
    for name in ("refused", "other"):
        send(rollbook, "POST", "/v1/users", {"name": name, "email": f"{name}@example.com"})
    until(lambda: bool(receiver.mails_to("other@example.com")))
    until(lambda: "reaction_parked" in rollbook.output)
    assert receiver.seen["refused@example.com"] == 1
    assert "550 5.1.1" in rollbook.output
    assert "refused@example.com" not in rollbook.output


@pytest.mark.long
def test_a_mail_that_hangs_or_is_greylisted_holds_up_nobody_else(
    rollbook: RunningRollbook, receiver: MailReceiver
) -> None:
    receiver.replies["grey@example.com"] = ["451 4.7.1 <grey@example.com> words", "250 OK"]
    receiver.replies["hang@example.com"] = [HANG]
    others = [f"u{number}" for number in range(8)]
    for name in ("grey", "hang", *others):
        send(rollbook, "POST", "/v1/users", {"name": name, "email": f"{name}@example.com"})
    until(lambda: all(receiver.mails_to(f"{name}@example.com") for name in others), 5)
    assert receiver.mails_to("grey@example.com") == []
    assert receiver.seen["hang@example.com"] == 1
    until(lambda: bool(receiver.mails_to("grey@example.com")), 15)
    assert receiver.mails_to("hang@example.com") == []
    receiver.release()
    until(lambda: bool(receiver.mails_to("hang@example.com")), 5)
    assert "grey@example.com" not in rollbook.output


def test_mails_wait_for_a_server_that_refuses_all_mail_and_nobody_is_parked(
    rollbook: RunningRollbook, receiver: MailReceiver
) -> None:
    before = receiver.seen["MAIL"]
    receiver.replies["MAIL"] = ["550 5.7.1 words"]
    names = [f"w{number}" for number in range(20)]
    for name in names:
        send(rollbook, "POST", "/v1/users", {"name": name, "email": f"{name}@example.com"})
    until(lambda: receiver.seen["MAIL"] >= before + 4)
    assert "550 5.7.1" in rollbook.output
    parked = rollbook.output.count("reaction_parked")
    receiver.replies["MAIL"] = ["250 OK"]
    until(lambda: all(receiver.mails_to(f"{name}@example.com") for name in names), 60)
    assert all(len(receiver.mails_to(f"{name}@example.com")) == 1 for name in names)
    assert rollbook.output.count("reaction_parked") == parked


@pytest.mark.long
def test_a_mail_that_hangs_holds_up_no_stop(tmp_path: Path) -> None:
    with MailReceiver().running() as receiver:
        receiver.replies["hang@example.com"] = [HANG]
        settings = {**mail_settings(receiver), "ROLLBOOK_WELCOME_URL": PAGE}
        with RunningRollbook(prepared(tmp_path / "data"), **settings) as rollbook:
            send(rollbook, "POST", "/v1/users", {"name": "H", "email": "hang@example.com"})
            until(lambda: receiver.seen["hang@example.com"] == 1)
            began = time.monotonic()
            assert rollbook.stop() == 0
            assert time.monotonic() - began < 15


@pytest.mark.long
@pytest.mark.parametrize("stage", ["DATA", "ACCEPTED"])
def test_a_mail_of_a_killed_worker_is_sent_with_the_same_id(tmp_path: Path, stage: str) -> None:
    """Before the server has it, and after that: then it arrives twice."""
    with MailReceiver().running() as receiver:
        receiver.replies[stage] = [HANG, "250 OK"]
        settings = {**mail_settings(receiver), "ROLLBOOK_WELCOME_URL": PAGE}
        with RunningRollbook(prepared(tmp_path / "data"), **settings) as rollbook:
            person = {"name": "Grace", "email": "grace@example.com"}
            user = send(rollbook, "POST", "/v1/users", person)["id"]
            until(lambda: receiver.seen[stage] == 1)
            rollbook.kill_all()
            rollbook.start()
            wanted = 1 if stage == "DATA" else 2
            until(lambda: len(receiver.mails) == wanted, 60)
            (event_id,) = events(rollbook, user).values()
            ids = {mail.message["Message-ID"] for mail in receiver.mails}
            assert ids == {f"<{event_id}.welcome@example.org>"}


@pytest.mark.long
def test_a_broken_template_stops_rollbook_up_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "welcome.html").write_text("<p>\n{{ nmae }}</p>")
    ended = run_rollbook(
        "up",
        "--data-dir",
        str(tmp_path / "data"),
        ROLLBOOK_SMTP_URL="smtp://127.0.0.1:1",
        ROLLBOOK_SMTP_FROM="no-reply@example.org",
        ROLLBOOK_TEMPLATES=str(tmp_path),
    )
    assert ended.returncode == 2
    line = f"rollbook: ROLLBOOK_TEMPLATES: {tmp_path}/welcome.html, line 2: there is no value nmae"
    named = [each for each in ended.stderr.splitlines() if "ROLLBOOK" in each]
    assert [each for each in named if each.startswith(line)] == named, ended.stderr
