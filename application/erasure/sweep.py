"""The sweep of erasures that are not complete: one look at all stores serves all of them."""

import asyncio
from collections import defaultdict
from datetime import datetime
from typing import Any, Final, NoReturn
from uuid import UUID

import msgspec

from application.erasure.coverage import Coverage, Covered, ErasedPerson
from application.erasure.service import ERASURE, receipt_of
from application.jobs.swept import SweptJob, SweptJobs, Waiting
from application.retry import BackOff

LOOK_SECONDS: Final = 1.0
_PAGE_JOBS: Final = 1000
_FIRST: Final = UUID(int=0)
# ANALYZE takes Postgres one or two seconds, for a table of any size.
_FINISH_SECONDS: Final = 60.0


async def run_erasures(
    coverage: Coverage, jobs: SweptJobs, *, look_seconds: float = LOOK_SECONDS
) -> NoReturn:
    """Complete erasures as soon as all stores are clean; cancel it to stop.

    Any number of processes may run it.
    """
    back_off = BackOff("erasures")
    while True:
        try:
            await sweep_erasures(coverage, jobs)
        except Exception as error:
            await back_off.wait(error)
        else:
            back_off.reset()
            await asyncio.sleep(look_seconds)


async def sweep_erasures(coverage: Coverage, jobs: SweptJobs) -> None:
    """Look once, and end the jobs of all people that no store has any more."""
    page: list[SweptJob] = []
    while page := list(await jobs.unfinished(ERASURE, page[-1].id if page else _FIRST, _PAGE_JOBS)):
        people = [_person(job) for job in page]
        results, stores = dict[UUID, Any](), 0
        waiting = defaultdict[Waiting, list[UUID]](list)
        found = await coverage.check(people, _FINISH_SECONDS)
        for job, person, covered in zip(page, people, found, strict=True):
            if not covered.missing:
                results[job.id] = _result(job, person, covered)
                stores = len(covered.covers)
            elif (now := _waiting(covered)) != job.waiting:
                waiting[now].append(job.id)
        if results:
            await jobs.succeed(results, stores)
        for now, ids in waiting.items():
            await jobs.note(ids, now)


def _person(job: SweptJob) -> ErasedPerson:
    return ErasedPerson(UUID(job.arguments["user_id"]), int(job.arguments["position"]))


def _result(job: SweptJob, person: ErasedPerson, covered: Covered) -> Any:
    erased_at = datetime.fromisoformat(job.arguments["erased_at"])
    receipt = receipt_of(person.user_id, person.position, erased_at, covered.covers)
    return msgspec.json.decode(msgspec.json.encode(receipt))


def _waiting(covered: Covered) -> Waiting:
    done = len(covered.covers)
    return Waiting(
        done=done,
        total=done + len(covered.missing),
        error=f"Not reached yet: {', '.join(covered.missing)}.",
    )
