"""Times in requests: RFC 3339 with any number of digits, and leap seconds."""

from datetime import UTC, datetime

import pytest

from domain.errors import InvalidValue
from interfaces.http.protocol.fields import parse_bound, parse_time


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "last_before", "first_after"),
    [
        ("2026-03-01T09:30:00Z", "2026-03-01T09:30:00", "2026-03-01T09:30:00"),
        ("2026-03-01t09:30:00.5z", "2026-03-01T09:30:00.500", "2026-03-01T09:30:00.500"),
        (
            "2026-03-01T09:30:00.1234569Z",
            "2026-03-01T09:30:00.123456",
            "2026-03-01T09:30:00.123457",
        ),
        (
            "2026-03-01T09:30:00.123456000Z",
            "2026-03-01T09:30:00.123456",
            "2026-03-01T09:30:00.123456",
        ),
        ("2026-03-01T09:30:59.9999999+02:00", "2026-03-01T07:30:59.999999", "2026-03-01T07:31:00"),
        (
            "2026-03-01T09:30:00.00000000000000000001 02:00",
            "2026-03-01T07:30:00",
            "2026-03-01T07:30:00.000001",
        ),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00", "2017-01-01T00:00:00"),
        ("2017-01-01T00:59:60.25+01:00", "2017-01-01T00:00:00.250", "2017-01-01T00:00:00.250"),
    ],
)
def test_a_time_is_compared_and_never_cut(text: str, last_before: str, first_after: str) -> None:
    assert parse_time(text) == moment(last_before)
    assert parse_bound(text) == moment(first_after)


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01T09:30:60Z",
        "2026-03-01T23:59:61Z",
        "2026-03-01T23:60:00Z",
        "2026-02-30T00:00:00Z",
        "9999-12-31T23:59:60Z",
        "9999-12-31T23:59:59-01:00",
        "2026-03-01T09:30:00",
        "2026-03-01T09:30:00.Z",
        "2026-03-01T09:30:00,5Z",
        "0000-01-01T00:00:00Z",
    ],
)
def test_a_time_that_does_not_exist_is_refused(text: str) -> None:
    for parse in (parse_time, parse_bound):
        with pytest.raises(InvalidValue):
            parse(text)


def test_the_last_moment_has_no_later_bound() -> None:
    assert parse_time("9999-12-31T23:59:59.9999999Z").microsecond == 999_999
    with pytest.raises(InvalidValue):
        parse_bound("9999-12-31T23:59:59.9999999Z")
