"""Erasing a person for good, and the receipt that lists the clean copies."""

from typing import Annotated, Final, cast, get_args

import msgspec
from fastapi import Response
from msgspec.structs import replace
from pydantic import Field

from application.erasure.service import Erasure, ErasureReceipt
from domain.user.commands import EraseReason
from interfaces.http.endpoint import openapi
from interfaces.http.endpoint.command import CommandCall, command
from interfaces.http.endpoint.operation import Operation
from interfaces.http.protocol.body import JSON
from interfaces.http.protocol.consistency import POSITION
from interfaces.http.protocol.fields import Parsed, one_of
from interfaces.http.protocol.idempotency import IDEMPOTENCY_REPLAYED
from interfaces.http.protocol.validation import RequestModel
from interfaces.http.schemas.jobs import Job

_REASONS: Final[tuple[str, ...]] = get_args(EraseReason)
_REASON: Final = {"type": "string", "enum": _REASONS}
_DEFAULT: Final[EraseReason] = "subject-request"


class EraseBody(RequestModel):
    reason: Annotated[str, Parsed(one_of(_REASONS), _REASON)] | None = Field(
        default=None,
        description=f"A code, kept for good: {_DEFAULT} where it is not given.",
    )


@command(
    "POST",
    "/v1/users/{user_id}/erase",
    EraseBody,
    summary="Erase a person for good",
    answers=ErasureReceipt,
    needs="admin",
    body_required=False,
)
async def erase_user(call: CommandCall[EraseBody]) -> Response:
    reason = cast("EraseReason", call.body.reason or _DEFAULT)
    erasure = await call.services.erasures.erase(
        call.user_id, reason, call.context, if_match=call.if_match
    )
    call.services.recent.remember(call.context.actor, erasure.position)
    headers = _headers(erasure)
    if isinstance(erasure.answer, ErasureReceipt):
        return Response(msgspec.json.encode(erasure.answer), 200, headers, JSON)
    job = Job.of(erasure.answer)
    headers["Location"] = f"/v1/jobs/{job.id}"
    return Response(msgspec.json.encode(job), 202, headers, JSON)


def _headers(erasure: Erasure) -> dict[str, str]:
    headers = {POSITION: str(erasure.position)}
    if erasure.replayed:
        headers[IDEMPOTENCY_REPLAYED] = "true"
    return headers


def _with_both_answers(operation: Operation) -> Operation:
    """It answers with a receipt or with the job that continues; neither is a user."""
    names = (POSITION, IDEMPOTENCY_REPLAYED)
    answers = {
        "200": openapi.answer("Nothing is left: the receipt", ErasureReceipt, names),
        "202": openapi.answer(
            "Recorded; not all copies were reached within 2 s: the job that waits for them, whose "
            "result is the receipt",
            Job,
            (*names, "Location"),
        ),
    }
    responses = {**operation.document["responses"], **answers}
    return replace(operation, document={**operation.document, "responses": responses})


ERASURES: Final[tuple[Operation, ...]] = (_with_both_answers(erase_user),)
