"""After a failure of the server mails fail at once, and one at a time tries it, ever less often."""

import pytest

from application.reactions.mail import MailServerUnavailable
from infrastructure.mail.pause import Pause

AWAY = MailServerUnavailable("is away")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pause(clock: Clock) -> Pause:
    return Pause(clock)


def refused(pause: Pause) -> bool:
    try:
        pause.begin()
    except MailServerUnavailable as error:
        return error.reason == AWAY.reason
    return False


def test_all_mails_begin_while_the_server_works(pause: Pause) -> None:
    for _ in range(10):
        pause.begin()
        pause.succeeded()
    assert not refused(pause)


def test_the_pause_doubles_up_to_half_a_minute(pause: Pause, clock: Clock) -> None:
    lengths: list[float] = []
    for _ in range(8):
        # This mail tries the server, and fails.
        pause.failed(AWAY, clock.now)
        failed_at = clock.now
        while refused(pause):
            clock.now += 0.5
        lengths.append(clock.now - failed_at)
    assert lengths == [1, 2, 4, 8, 16, 30, 30, 30]


def test_mails_that_fail_together_count_as_one_failure(pause: Pause, clock: Clock) -> None:
    together = [pause.begin() for _ in range(50)]
    clock.now += 10
    for began in together:
        pause.failed(AWAY, began)
    clock.now += 1
    assert not refused(pause)


def test_one_mail_tries_the_server_after_a_pause(pause: Pause, clock: Clock) -> None:
    pause.failed(AWAY, pause.begin())
    clock.now += 1
    assert [refused(pause) for _ in range(5)] == [False, True, True, True, True]
    # It never says how it ended, for example because its worker stopped.
    clock.now += 30
    assert [refused(pause) for _ in range(3)] == [False, True, True]


def test_a_success_ends_the_pause(pause: Pause, clock: Clock) -> None:
    pause.failed(AWAY, pause.begin())
    clock.now += 1
    pause.begin()
    pause.succeeded()
    assert [refused(pause) for _ in range(3)] == [False, False, False]
    pause.failed(AWAY, pause.begin())
    clock.now += 1
    assert not refused(pause)
