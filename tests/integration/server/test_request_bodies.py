"""Bodies of requests, however they are cut into chunks and pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interfaces.cli.server.request_body import (
    MAX_FIELDS,
    ChunkedBody,
    MalformedMessage,
    SizedBody,
    body_of,
)

EXTENSIONS = st.sampled_from([b"", b";a", b' ; a="b"', b";" + b"x" * 40])
CHUNKS = st.lists(st.tuples(st.binary(min_size=1, max_size=300), EXTENSIONS), max_size=30)
NEXT = b"GET / HTTP/1.1\r\n"


def written(chunks: list[tuple[bytes, bytes]], trailer: bytes) -> bytes:
    parts = [b"%X%s\r\n%s\r\n" % (len(data), extension, data) for data, extension in chunks]
    return b"".join([*parts, b"0\r\n", trailer, b"\r\n"])


def read(body: ChunkedBody | SizedBody, pieces: list[bytes]) -> tuple[bytes, bytes]:
    """The data of a body that arrives in pieces, and what follows it."""
    received, data = bytearray(), b""
    for piece in pieces:
        received += piece
        while not body.is_whole:
            data += body.take(received)
            if not body.is_interrupted:
                break
    return data, bytes(received)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


@given(CHUNKS, st.sampled_from([b"", b"X: y\r\n"]), st.lists(st.integers(0, 20_000), max_size=40))
def test_chunks_may_be_cut_anywhere(
    chunks: list[tuple[bytes, bytes]], trailer: bytes, places: list[int]
) -> None:
    body = ChunkedBody()
    data, rest = read(body, cut(written(chunks, trailer) + NEXT, places))
    assert (data, rest, body.is_whole) == (b"".join(data for data, _ in chunks), NEXT, True)


@given(st.binary(min_size=1, max_size=2000), st.lists(st.integers(0, 2000), max_size=9))
def test_a_body_with_a_length_may_be_cut_anywhere(data: bytes, places: list[int]) -> None:
    body = SizedBody(len(data))
    assert (read(body, cut(data + NEXT, places)), body.is_whole) == ((data, NEXT), True)


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=9))
def test_any_bytes_are_a_body_or_malformed(data: bytes, places: list[int]) -> None:
    try:
        read(ChunkedBody(), cut(data, places))
    except MalformedMessage:
        return


def test_many_chunks_are_taken_in_turns() -> None:
    body, received = ChunkedBody(), bytearray(b"1\r\nx\r\n" * 5000)
    turns = 0
    while received:
        body.take(received)
        turns += 1
    assert turns == 50


@pytest.mark.parametrize("trailer", [b"X: y\r\n" * (MAX_FIELDS + 1), b"X" * 70_000, b"X\r\n"])
def test_trailers_have_limits(trailer: bytes) -> None:
    with pytest.raises(MalformedMessage):
        read(ChunkedBody(), [b"0\r\n", trailer])


@pytest.mark.parametrize(
    "headers",
    [
        [(b"transfer-encoding", b"gzip")],
        [(b"transfer-encoding", b"gzip, chunked")],
        [(b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")],
        [(b"transfer-encoding", b"")],
    ],
)
def test_unknown_transfer_codings_are_refused(headers: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(MalformedMessage):
        body_of(headers)
