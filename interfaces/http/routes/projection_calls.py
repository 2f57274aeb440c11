"""What the operations on projections share: the name in the path, jobs and answers."""

from typing import Any

from fastapi import Response
from msgspec import Struct

from interfaces.http.endpoint.answers import resource
from interfaces.http.endpoint.call import Call, Command
from interfaces.http.protocol.refusals import NotFound
from interfaces.http.routes.jobs import accepted


async def as_job(
    call: Command[Any], kind: str, arguments: dict[str, Any], *, once: str | None = None
) -> Response:
    """One job at a time per projection: a caller that asks again gets the unfinished one."""
    job = await call.services.jobs.submit(
        kind,
        arguments,
        actor=call.principal.actor,
        once=once or arguments["projection"],
        job_id=call.job_id,
    )
    return accepted(job, await call.log_position())


async def answered(call: Command[Any], body: Struct) -> Response:
    """The answer to a command that is done."""
    return resource(body, await call.log_position())


def name_of(call: Call[Any, Any]) -> str:
    """The projection in the path. Raises `NotFound` if this release does not have it."""
    name: str = call.request.path_params["name"]
    names = call.services.projections.names
    if name not in names:
        raise NotFound(f"There is no such projection. There are: {', '.join(names)}.")
    return name
