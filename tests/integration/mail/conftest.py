"""Fixtures: a mail server, and mailers that use it."""

from collections.abc import Iterator

import pytest

from tests.support.servers.mail import MailReceiver


@pytest.fixture
def receiver() -> Iterator[MailReceiver]:
    """A mail server that accepts everything until a test tells it otherwise."""
    with MailReceiver().running() as receiver:
        yield receiver
