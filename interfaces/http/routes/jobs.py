"""Jobs: list them, see their progress and result, and cancel them."""

from contextlib import suppress
from typing import Final
from uuid import UUID

import msgspec
from fastapi import Request, Response
from msgspec.structs import replace

from application.exports.requests import EXPORT
from application.identity import Principal
from application.jobs import model as jobs
from domain.errors import InvalidValue
from interfaces.http.endpoint.admin_command import AdminCommand, Nothing, admin_command
from interfaces.http.endpoint.auth import admit
from interfaces.http.endpoint.operation import Operation
from interfaces.http.endpoint.query import QueryCall, query
from interfaces.http.endpoint.services import Services
from interfaces.http.protocol.body import JSON
from interfaces.http.protocol.consistency import POSITION
from interfaces.http.protocol.fields import parse_uuid
from interfaces.http.protocol.negotiation import compressible, refuse_unacceptable
from interfaces.http.protocol.refusals import Forbidden, NoResult, NotFound
from interfaces.http.protocol.validation import NoParameters
from interfaces.http.routes.export_files import FORMATS, export_file, with_files
from interfaces.http.schemas.jobs import Job, JobList, JobListParameters, JobResult


async def _admit_to_list(services: Services, request: Request) -> Principal:
    principal = await admit(request, services.identity, None)
    if not principal.may("audit:read"):
        raise Forbidden("admin")
    return principal


async def _admit_to_job(services: Services, request: Request) -> Principal:
    """Admit administrators and the actor of the export; other callers learn of no job."""
    principal = await admit(request, services.identity, None)
    if principal.may("admin"):
        return principal
    if principal.may("audit:read"):
        with suppress(NotFound):
            job = await _asked_for(services, request)
            if (job.kind, job.actor) == (EXPORT, principal.actor):
                return principal
    raise Forbidden("admin")


@query(
    "/v1/jobs",
    JobListParameters,
    needs="admin",
    tag="Jobs",
    summary="List jobs, the newest first; without `admin` one's own exports",
    answers=JobList,
    admission=_admit_to_list,
)
async def list_jobs(call: QueryCall[JobListParameters]) -> Response:
    services = call.services
    asked = call.parameters.query(services.cursors)
    if not call.principal.may("admin"):
        asked = replace(asked, exports_of=call.principal.actor)
    position = await call.log_position()
    found = await services.job_list.jobs(asked)
    page = JobList(
        items=[Job.of(job) for job in found.items],
        next_cursor=call.parameters.cursor_to(services.cursors, found.next),
        position=position,
    )
    headers = {POSITION: str(position)}
    return await compressible(call.request, msgspec.json.encode(page), headers, JSON)


@query(
    "/v1/jobs/{job_id}",
    NoParameters,
    needs="admin",
    tag="Jobs",
    summary="See how far a job is",
    answers=Job,
    problems=("not-found",),
    admission=_admit_to_job,
)
async def read_job(call: QueryCall[NoParameters]) -> Response:
    position = await call.log_position()
    job = await _asked_for(call.services, call.request)
    return _shown(job, position)


@query(
    "/v1/jobs/{job_id}/result",
    NoParameters,
    needs="admin",
    tag="Jobs",
    summary="Get the result of a job; for an export, the file",
    answers=JobResult,
    problems=("not-found",),
    admission=_admit_to_job,
    formats=(JSON, *FORMATS),
)
async def read_job_result(call: QueryCall[NoParameters]) -> Response:
    position = await call.log_position()
    job = await _asked_for(call.services, call.request)
    if job.result is None:
        raise NoResult(job.state)
    if job.kind == EXPORT:
        return await export_file(call.services, call.request, call.principal, job)
    refuse_unacceptable(call.request)
    headers = {POSITION: str(position)}
    return Response(msgspec.json.encode(job.result), headers=headers, media_type=JSON)


@admin_command(
    "/v1/jobs/{job_id}/cancel",
    Nothing,
    tag="Jobs",
    summary="Cancel a job: at once where it waits, soon where it runs",
    answers=Job,
    admission=_admit_to_job,
)
async def cancel_job(command: AdminCommand[Nothing]) -> Response:
    job = await command.services.jobs.cancel(_job_in_path(command.request))
    if job is None:
        raise NotFound
    return _shown(job, await command.services.feed.head())


async def _asked_for(services: Services, request: Request) -> jobs.Job:
    job = await services.jobs.job(_job_in_path(request))
    if job is None:
        raise NotFound
    return job


def _job_in_path(request: Request) -> UUID:
    try:
        return parse_uuid(request.path_params["job_id"])
    except InvalidValue:
        raise NotFound from None


def _shown(job: jobs.Job, position: int) -> Response:
    headers = {POSITION: str(position)}
    return Response(msgspec.json.encode(Job.of(job)), headers=headers, media_type=JSON)


JOBS: Final[tuple[Operation, ...]] = (
    list_jobs,
    read_job,
    replace(read_job_result, document=with_files(read_job_result.document)),
    cancel_job,
)
