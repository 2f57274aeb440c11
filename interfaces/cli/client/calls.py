"""Calls of commands to a running Rollbook: lists, admin commands and jobs."""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, Final
from uuid import uuid4

import msgspec
from msgspec import Struct

from application.jobs.model import FINISHED
from interfaces.cli.client.client import Remote, Reply, Stopped
from interfaces.cli.client.watch_job import Job, JobReport
from interfaces.cli.errors import CommandFailed

_POLL_SECONDS: Final = 0.3
_SLOW_POLL_SECONDS: Final = 1.0

# The longest page that a list may have.
_MAX_PAGE: Final = 200
_NONE: Final[Mapping[str, str]] = {}

Json = dict[str, Any]


class Refused(CommandFailed):
    """The server refuses the request; the message says why."""


class _Page(Struct, frozen=True):
    items: list[Json]
    next_cursor: str | None = None


async def items_of(
    remote: Remote, path: str, parameters: Mapping[str, str] = _NONE, *, limit: int | None = None
) -> list[Json]:
    """All pages of a list; with `limit` only its first items. Raises `Refused`."""
    items: list[Json] = []
    asked = dict(parameters)
    while limit is None or len(items) < limit:
        if limit is not None:
            asked["limit"] = str(min(limit - len(items), _MAX_PAGE))
        page = (await _answered(remote.get(path, asked))).read(_Page)
        items += page.items
        if page.next_cursor is None:
            break
        asked["cursor"] = page.next_cursor
    return items


async def read_item(remote: Remote, path: str) -> Json:
    """One resource. Raises `Refused`."""
    return (await _answered(remote.get(path))).read(Json)


async def send_admin_command(
    remote: Remote, path: str, body: Json, *, method: str = "POST"
) -> Reply:
    """The answer to a command, which is done once however often it is sent. Raises `Refused`."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid4())}
    return await _answered(remote.command(method, path, msgspec.json.encode(body), headers))


async def wait_for_job(remote: Remote, job: Job, report: JobReport) -> Job:
    """Show a job until it is finished; it continues if this process ends. Raises `Refused`."""
    with report:
        while job.state not in FINISHED:
            report.show(job)
            await asyncio.sleep(_POLL_SECONDS if job.state == "running" else _SLOW_POLL_SECONDS)
            job = (await _answered(remote.get(f"/v1/jobs/{job.id}"))).read(Job)
        report.show(job)
    return job


async def _answered(request: Awaitable[Reply]) -> Reply:
    try:
        reply = await request
    except Stopped as reason:
        raise Refused(str(reason)) from None
    return refuse_problem(reply)


def refuse_problem(reply: Reply) -> Reply:
    """The same reply. Raises `Refused` if it is a problem."""
    if reply.status >= 400:
        raise Refused(reply.reason)
    return reply
