"""Requesting an export: a job that selects all users or audit items that match."""

from uuid import UUID

from fastapi import Response
from msgspec.structs import replace

from application.audit.search import AuditQuery
from application.exports.requests import ExportSpec
from interfaces.http.endpoint.call import Command
from interfaces.http.endpoint.operation import operation
from interfaces.http.protocol.refusals import Forbidden
from interfaces.http.routes.jobs import accepted
from interfaces.http.schemas.exports import AuditExport, ExportBody
from interfaces.http.schemas.jobs import Job


@operation(
    "POST",
    "/v1/exports",
    tag="Exports",
    summary="Export all users or audit items that match, as a job whose result is the file",
    answers=Job,
    status=202,
    body_required=True,
)
async def create_export(call: Command[ExportBody]) -> Response:
    services, principal, body = call.services, call.principal, call.body
    # Checked here, because only the body says that the rows are users.
    if body.what == "users" and not principal.may("users:read"):
        raise Forbidden("users:read")
    head = await call.log_position()
    job = await services.exports.submit(
        await _export_spec(call),
        body.shown_filters,
        # Without the key: the answer is kept beside the log.
        context=replace(call.context, idempotency=None),
        export_id=call.job_id or services.new_id(),
        position=max(head, services.recent.position(principal.actor)),
    )
    return accepted(job, await call.log_position())


async def _export_spec(call: Command[ExportBody]) -> ExportSpec:
    """An address stands for the user that has it now, as in the list; it is not stored."""
    body = call.body
    if not isinstance(body, AuditExport):
        return ExportSpec(format=body.form, users=body.filters.query())
    user = body.filters.user
    if user is not None and not isinstance(user, UUID):
        user = await call.services.audit.user_at(user)
        if user is None:
            # A query without kinds matches nothing.
            return ExportSpec(format=body.form, audit=AuditQuery())
    query = body.filters.query(user, every_kind=call.principal.may("admin"))
    return ExportSpec(format=body.form, audit=query)
