"""Erasing a person for good, and the receipt that lists the clean copies."""

from typing import Annotated, Final, cast, get_args

from fastapi import Response
from pydantic import Field

from application.erasure.service import ErasureReceipt
from domain.user.commands import EraseReason
from interfaces.http.endpoint.answers import replayed, resource
from interfaces.http.endpoint.call import Command
from interfaces.http.endpoint.openapi import answer
from interfaces.http.endpoint.operation import RECORDED_FOR_ONE_USER, operation
from interfaces.http.protocol.consistency import POSITION
from interfaces.http.protocol.fields import Parsed, one_of
from interfaces.http.protocol.idempotency import IDEMPOTENCY_REPLAYED
from interfaces.http.protocol.validation import RequestModel
from interfaces.http.routes.jobs import accepted
from interfaces.http.schemas.jobs import Job

_REASONS: Final[tuple[str, ...]] = get_args(EraseReason)
_REASON: Final = {"type": "string", "enum": _REASONS}
_DEFAULT: Final[EraseReason] = "subject-request"
_NAMES: Final = (POSITION, IDEMPOTENCY_REPLAYED)


class EraseBody(RequestModel):
    reason: Annotated[str, Parsed(one_of(_REASONS), _REASON)] | None = Field(
        default=None,
        description=f"A code, kept for good: {_DEFAULT} where it is not given.",
    )


@operation(
    "POST",
    "/v1/users/{user_id}/erase",
    tag="Users",
    summary="Erase a person for good",
    answers=ErasureReceipt,
    headers=RECORDED_FOR_ONE_USER,
    responses={
        "200": answer("Nothing is left: the receipt", ErasureReceipt, _NAMES),
        "202": answer(
            "Recorded; not all copies were reached within 2 s: the job that waits for them, whose "
            "result is the receipt",
            Job,
            (*_NAMES, "Location"),
        ),
    },
)
async def erase_user(call: Command[EraseBody]) -> Response:
    reason = cast("EraseReason", call.body.reason or _DEFAULT)
    erasure = await call.services.erasures.erase(
        call.user_id, reason, call.context, if_match=call.if_match
    )
    call.services.recent.remember(call.principal.actor, erasure.position)
    if isinstance(erasure.answer, ErasureReceipt):
        return resource(erasure.answer, erasure.position, headers=replayed(erasure.replayed))
    return accepted(erasure.answer, erasure.position, is_replayed=erasure.replayed)
