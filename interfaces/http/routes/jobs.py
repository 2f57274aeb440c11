"""Jobs: list them, see their progress and result, and cancel them."""

from contextlib import suppress
from typing import Final
from uuid import UUID

from fastapi import Request, Response

from application.exports.requests import EXPORT
from application.identity import Principal
from application.jobs import model as jobs
from domain.errors import InvalidValue
from interfaces.http.endpoint.answers import replayed, resource, resource_list
from interfaces.http.endpoint.auth import Admission, admit, require
from interfaces.http.endpoint.call import Command, Nothing, Query
from interfaces.http.endpoint.operation import operation
from interfaces.http.endpoint.services import Services
from interfaces.http.protocol.body import JSON
from interfaces.http.protocol.cursors import Pages
from interfaces.http.protocol.fields import parse_uuid
from interfaces.http.protocol.negotiation import refuse_unacceptable
from interfaces.http.protocol.refusals import Forbidden, NoResult, NotFound
from interfaces.http.protocol.validation import NoParameters
from interfaces.http.routes.export_files import FORMATS, export_file, or_file
from interfaces.http.schemas.jobs import Job, JobList, JobListParameters, JobResult

_PATH: Final = "/v1/jobs/{job_id}"
_NO_JOB: Final = "There is no job with this id."
_RESULT: Final = "Get the result of a job; for an export, the file"


async def _admit_to_list(services: Services, request: Request) -> Principal:
    principal = await admit(services, request, None)
    if not principal.may("audit:read"):
        raise Forbidden("admin")
    return principal


async def _admit_to_job(services: Services, request: Request) -> Principal:
    """Admit administrators and the actor of the export; other callers learn of no job."""
    principal = await admit(services, request, None)
    if principal.may("admin"):
        return principal
    if principal.may("audit:read"):
        with suppress(NotFound):
            job = await _asked_for(services, request)
            if (job.kind, job.actor) == (EXPORT, principal.actor):
                return principal
    raise Forbidden("admin")


_LISTING: Final = Admission(_admit_to_list, require("admin").security)
_ONE: Final = Admission(_admit_to_job, require("admin").security)


@operation(
    "GET",
    "/v1/jobs",
    tag="Jobs",
    summary="List jobs, the newest first; without `admin` one's own exports",
    admission=_LISTING,
    answers=JobList,
)
async def list_jobs(call: Query[JobListParameters]) -> Response:
    services, asked = call.services, call.parameters
    pages = Pages(services.cursors, ("jobs", sorted(set(asked.state))), UUID)
    query = jobs.JobQuery(
        states=asked.state,
        limit=asked.limit,
        before=pages.place(asked.cursor),
        exports_of=None if call.principal.may("admin") else call.principal.actor,
    )
    position = await call.log_position()
    found = await services.job_list.jobs(query)
    page = JobList(
        items=[Job.of(job) for job in found.items],
        next_cursor=pages.cursor(found.next),
        position=position,
    )
    return await resource_list(call, page, position)


@operation(
    "GET",
    _PATH,
    tag="Jobs",
    summary="See how far a job is",
    admission=_ONE,
    answers=Job,
)
async def read_job(call: Query[NoParameters]) -> Response:
    position = await call.log_position()
    return resource(Job.of(await _asked_for(call.services, call.request)), position)


@operation(
    "GET",
    f"{_PATH}/result",
    tag="Jobs",
    summary=_RESULT,
    admission=_ONE,
    answers=JobResult,
    formats=(JSON, *FORMATS),
    responses={"200": or_file(_RESULT, JobResult)},
)
async def read_job_result(call: Query[NoParameters]) -> Response:
    position = await call.log_position()
    job = await _asked_for(call.services, call.request)
    if job.result is None:
        raise NoResult(job.state)
    if job.kind == EXPORT:
        return await export_file(call.services, call.request, call.principal, job)
    refuse_unacceptable(call.request, (JSON,))
    return resource(job.result, position)


@operation(
    "POST",
    f"{_PATH}/cancel",
    tag="Jobs",
    summary="Cancel a job: at once where it waits, soon where it runs",
    admission=_ONE,
    answers=Job,
)
async def cancel_job(call: Command[Nothing]) -> Response:
    job = await call.services.jobs.cancel(call.id_in_path("job_id"))
    if job is None:
        raise NotFound(_NO_JOB)
    return resource(Job.of(job), await call.log_position())


def accepted(job: jobs.Job, position: int, *, is_replayed: bool = False) -> Response:
    """The answer to a command whose work a job does."""
    headers = {"Location": f"/v1/jobs/{job.id}", **replayed(is_replayed)}
    return resource(Job.of(job), position, 202, headers)


async def _asked_for(services: Services, request: Request) -> jobs.Job:
    try:
        job = await services.jobs.job(parse_uuid(request.path_params["job_id"]))
    except InvalidValue:
        raise NotFound(_NO_JOB) from None
    if job is None:
        raise NotFound(_NO_JOB)
    return job
