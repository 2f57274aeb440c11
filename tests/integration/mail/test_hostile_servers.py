"""A server that speaks no SMTP, too much of it or none costs one mail a bounded time and no memory."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from application.reactions.mail import MailDeferred, MailServerUnavailable
from application.reactions.reaction import ReactionFailed
from tests.support.servers.mail import HOST
from tests.support.servers.mailers import mailer_to, welcome
from tests.support.servers.postgres import scaled

EHLO = b"250-mail.example.org\r\n250 8BITMIME\r\n"
ANSWERS = (MailDeferred, MailServerUnavailable, ReactionFailed)


@asynccontextmanager
async def scripted(script: Sequence[bytes]) -> AsyncGenerator[str]:
    """The URL of a server that says these pieces: one at once, one after each line, then nothing."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in script:
            writer.write(piece)
            if not await reader.readline():
                break
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    try:
        yield f"smtp://{HOST}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def outcome(script: Sequence[bytes]) -> Exception | None:
    """How a mail ends, within its time and a little more."""
    async with scripted(script) as url:
        mailer, began = mailer_to(url, mail_seconds=0.5), time.monotonic()
        (error,) = await asyncio.gather(mailer.send(welcome()), return_exceptions=True)
        assert time.monotonic() - began < 5
    assert error is None or isinstance(error, ANSWERS), repr(error)
    assert "words" not in str(error)
    assert "grace" not in str(error)
    return error


@pytest.mark.parametrize(
    "script",
    [
        [b"words\r\n"],
        [b"HTTP/1.1 400 words\r\n\r\n"],
        [b"220-words\r\n" * 5_000],
        [b"220 " + b"x" * 200_000],
        [b"\x16\x03\x01\x00\x01" * 100 + b"\r\n"],
        [b"220 hello\r\n", b"\xff\xfe\x00\r\n"],
        [b"220 hello\r\n", b"250-words\r\n" * 5_000],
        [b"220 hello\r\n", EHLO, b"250 OK\r\n250 OK\r\n250 OK\r\n", b"550 words\r\n"],
        [b"220 hello\r\n", EHLO, b"250 OK\r\n", b"250 OK\r\n", b"354 go\r\n999 words\r\n"],
        [b"220 hello\r\n", EHLO, b"250 OK\r\n", b"250 OK\r\n", b"250 OK\r\n"],
        [b"220 hello\r\n", EHLO, b"250 OK\r\n", b"000 words\r\n"],
        [b"220 hello\r\n", EHLO, b"334 words\r\n"],
    ],
)
async def test_a_server_that_speaks_no_smtp_takes_no_mail(script: Sequence[bytes]) -> None:
    assert await outcome(script) is not None


CODES = [0, 99, 200, 220, 235, 250, 251, 354, 421, 450, 452, 530, 550, 571, 999]
WORDS = ["", "words", "5.7.1 words", "4.2.0", "5.1.1 <grace@example.com>", "9.9.9"]
lines = st.tuples(st.sampled_from(CODES), st.sampled_from(WORDS)).map(
    lambda line: f"{line[0]} {line[1]}\r\n".encode()
)
replies = st.one_of(lines, st.binary(max_size=40).map(lambda text: text + b"\r\n"))


@settings(max_examples=scaled(25), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(script=st.lists(replies, max_size=7), begins=st.booleans())
def test_whatever_a_server_says_a_mail_ends_in_one_of_four_ways(
    script: list[bytes], begins: bool
) -> None:
    asyncio.run(outcome([b"220 hello\r\n", EHLO, *script] if begins else script))
