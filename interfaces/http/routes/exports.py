"""Requesting an export: a job that selects all users or audit items that match."""

from typing import Final
from uuid import UUID

import msgspec
from fastapi import Request, Response
from pydantic import TypeAdapter

from application.audit.search import AuditQuery
from application.exports.requests import ExportSpec
from application.identity import Principal
from interfaces.http.endpoint import openapi
from interfaces.http.endpoint.auth import admit
from interfaces.http.endpoint.operation import Operation
from interfaces.http.endpoint.services import Services
from interfaces.http.protocol.body import JSON, parse_body, read_body
from interfaces.http.protocol.consistency import POSITION
from interfaces.http.protocol.idempotency import (
    IDEMPOTENCY_KEY,
    IDEMPOTENCY_REPLAYED,
    idempotency_key,
)
from interfaces.http.protocol.negotiation import refuse_unacceptable
from interfaces.http.protocol.refusals import Forbidden
from interfaces.http.protocol.validation import NoParameters, both, parameters
from interfaces.http.schemas.exports import (
    EXPORT_BODY,
    AuditExport,
    ExportBody,
    export_body,
    shown_filters,
)
from interfaces.http.schemas.jobs import Job

_PATH: Final = "/v1/exports"
_SUMMARY: Final = "Export all users or audit items that match, as a job whose result is the file"
_NO_PARAMETERS: Final = TypeAdapter(NoParameters)


async def _ask(services: Services, request: Request) -> Response:
    principal = await admit(request, services.identity, "audit:read")
    refuse_unacceptable(request)
    raw = await read_body(request, (JSON,), required=True)
    value = parse_body(raw, required=True)
    _, (body, key) = both(
        lambda: parameters(request, _NO_PARAMETERS),
        lambda: both(lambda: export_body(value), lambda: idempotency_key(request, raw)),
    )
    # Checked here, because only the body says that the rows are users.
    if body.what == "users" and not principal.may("users:read"):
        raise Forbidden("users:read")
    head = await services.feed.head()
    position = max(head, services.recent.position(principal.actor))
    job, replayed = await services.exports.submit(
        await _export_spec(services, principal, body),
        shown_filters(body, value),
        actor=principal.actor,
        key=key,
        position=position,
    )
    headers = {POSITION: str(head), "Location": f"/v1/jobs/{job.id}"}
    if replayed:
        headers[IDEMPOTENCY_REPLAYED] = "true"
    return Response(msgspec.json.encode(Job.of(job)), 202, headers, JSON)


async def _export_spec(services: Services, principal: Principal, body: ExportBody) -> ExportSpec:
    """An address stands for the user that has it now, as in the list; it is not stored."""
    if not isinstance(body, AuditExport):
        return ExportSpec(format=body.form, users=body.filters.query())
    user = body.filters.user
    if user is not None and not isinstance(user, UUID):
        user = await services.audit.user_at(user)
        if user is None:
            # A query without kinds matches nothing.
            return ExportSpec(format=body.form, audit=AuditQuery())
    query = body.filters.query(user, every_kind=principal.may("admin"))
    return ExportSpec(format=body.form, audit=query)


EXPORTS: Final[tuple[Operation, ...]] = (
    Operation(
        method="POST",
        path=_PATH,
        name="create_export",
        tag="Exports",
        summary=_SUMMARY,
        status=202,
        serve=_ask,
        body=EXPORT_BODY,
        answers=Job,
        document={
            **openapi.security("audit:read"),
            "parameters": openapi.header_parameters(IDEMPOTENCY_KEY, "X-Request-ID"),
            "requestBody": openapi.request_body(EXPORT_BODY, (JSON,), required=True),
            "responses": {
                "202": openapi.answer(_SUMMARY, Job, (POSITION, "Location", IDEMPOTENCY_REPLAYED)),
                **openapi.problem_answers(
                    (
                        "malformed-request",
                        "unauthenticated",
                        "forbidden",
                        "not-acceptable",
                        "too-large",
                        "unsupported-media-type",
                        "invalid-request",
                        "idempotency-mismatch",
                        "internal",
                        "unavailable",
                        "outcome-unknown",
                    )
                ),
            },
        },
    ),
)
