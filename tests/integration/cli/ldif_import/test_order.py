"""The order of an import: file order, a limited number at once, rows of one person in turn."""

import asyncio
from collections.abc import Iterator

import pytest

from interfaces.cli.ldif_import.order import AT_ONCE, Outcome, Settle, outcomes
from interfaces.cli.ldif_import.rows import Person, Refused


def person(line: int, email: str | None = None, external_id: str | None = None) -> Person:
    return Person(
        line=line,
        name="A",
        email=email or f"p{line}@example.org",
        external_id=external_id,
        attributes={},
    )


async def all_of(rows: list[Person | Refused], settle: Settle) -> list[Outcome]:
    return [outcome async for outcome in outcomes(rows, settle)]


async def test_outcomes_come_in_file_order_though_late_rows_are_faster():
    async def settle(row: Person) -> Outcome:
        await asyncio.sleep(0.02 if row.line % 5 == 0 else 0)
        return Outcome(row.line, "created")

    rows = [person(n) if n % 7 else Refused(n, "why") for n in range(100)]
    settled = await all_of(rows, settle)
    assert [outcome.line for outcome in settled] == list(range(100))
    assert settled[7] == Outcome(7, "refused", "why")


async def test_no_more_rows_than_the_limit_run_at_once():
    running = peak = 0

    async def settle(row: Person) -> Outcome:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(0.001)
        running -= 1
        return Outcome(row.line, "created")

    await all_of([person(n) for n in range(100)], settle)
    assert peak == AT_ONCE


async def test_rows_are_read_no_further_ahead_than_the_limit():
    read = 0

    def rows() -> Iterator[Person]:
        nonlocal read
        for n in range(100):
            read += 1
            yield person(n)

    async def settle(row: Person) -> Outcome:
        return Outcome(row.line, "created")

    async for outcome in outcomes(rows(), settle):
        assert read <= outcome.line + 1 + AT_ONCE


async def test_rows_of_one_person_are_settled_one_after_another_in_file_order():
    order: list[str] = []

    async def settle(row: Person) -> Outcome:
        order.append(f"{row.line} begins")
        await asyncio.sleep(0.01 / row.line)
        order.append(f"{row.line} ends")
        return Outcome(row.line, "created")

    rows: list[Person | Refused] = [
        person(1, "zoe@example.org"),
        person(2, "ZOE@Example.org", "E1"),
        person(3, "other@example.org", "E1"),
        person(4),
    ]
    await all_of(rows, settle)
    same = [event for event in order if not event.startswith("4")]
    assert same == [f"{n} {what}" for n in (1, 2, 3) for what in ("begins", "ends")]
    assert order.index("4 begins") < order.index("1 ends")


async def test_a_failure_ends_the_run_and_leaves_nothing_running():
    ended: list[int] = []

    async def settle(row: Person) -> Outcome:
        if row.line == 3:
            raise RuntimeError
        try:
            await asyncio.sleep(0 if row.line < 3 else 60)
        finally:
            ended.append(row.line)
        return Outcome(row.line, "created")

    with pytest.raises(RuntimeError):
        await all_of([person(n) for n in range(10)], settle)
    assert sorted(ended) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
