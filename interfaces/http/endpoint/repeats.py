"""Administrative commands with an idempotency key: carried out once, and answered from then on."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any, Final

import msgspec
from fastapi import Response
from msgspec.structs import replace

from application.context import IdempotencyKey
from application.errors import InProgress, OutcomeUnknown, Unavailable
from application.receipts import AnswerReceipts, Execution, KeptAnswer, Unanswered
from domain.errors import DomainError
from interfaces.http.endpoint.answers import replayed
from interfaces.http.endpoint.call import Call
from interfaces.http.endpoint.operation import Operation
from interfaces.http.protocol.body import JSON
from interfaces.http.protocol.refusals import Refusal

_WAIT_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.1
_PROLONG_SECONDS: Final = 5.0
# The server makes them from the body.
_NOT_KEPT: Final = frozenset({"content-length", "content-type"})


async def once(operation: Operation, call: Call[Any, Any]) -> Response:
    """Carry out the command, or repeat the answer to its key. Only 2xx answers are kept.

    Raises what the operation does, and `InProgress`, `IdempotencyMismatch` and `Unavailable`.
    """
    key, receipts, actor = call.key, call.services.receipts, call.principal.actor
    if key is None:
        return await operation.endpoint(call)
    begun = await _begun(receipts, actor, key)
    if isinstance(begun, KeptAnswer):
        headers = {**begun.headers, **replayed(True)}
        return Response(begun.body, begun.status, headers, JSON if begun.body else None)
    try:
        async with _prolonging(receipts, actor, key, begun):
            response = await operation.endpoint(replace(call, execution=begun))
    except BaseException as error:
        # If this fails, too, the next request gets the execution after a while.
        with suppress(Unavailable):
            await receipts.end(actor, key, begun, _unanswered(error))
        raise
    is_done = response.status_code < HTTPStatus.MULTIPLE_CHOICES
    answer = _kept(response, operation.secrets) if is_done else "refused"
    try:
        await receipts.end(actor, key, begun, answer)
    except Unavailable as error:
        raise OutcomeUnknown from error
    return response


async def _begun(
    receipts: AnswerReceipts, actor: str, key: IdempotencyKey
) -> Execution | KeptAnswer:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _WAIT_SECONDS
    while (begun := await receipts.begin(actor, key)) is None:
        if loop.time() >= deadline:
            raise InProgress
        await asyncio.sleep(_POLL_SECONDS)
    return begun


@asynccontextmanager
async def _prolonging(
    receipts: AnswerReceipts, actor: str, key: IdempotencyKey, execution: Execution
) -> AsyncGenerator[None]:
    async def prolong() -> None:
        while True:
            await asyncio.sleep(_PROLONG_SECONDS)
            with suppress(Unavailable):
                await receipts.prolong(actor, key, execution)

    task = asyncio.create_task(prolong())
    try:
        yield
    finally:
        task.cancel()


def _unanswered(error: BaseException) -> Unanswered:
    """A cancelled request, and one that met a fault, may have done its work."""
    is_refusal = isinstance(error, Refusal | DomainError) and not isinstance(error, OutcomeUnknown)
    return "refused" if is_refusal else "unknown"


def _kept(response: Response, secrets: Sequence[str]) -> KeptAnswer:
    body = bytes(response.body)
    if secrets:
        members = msgspec.json.decode(body, type=dict[str, Any])
        body = msgspec.json.encode({**members, **dict.fromkeys(secrets)})
    headers = {name: value for name, value in response.headers.items() if name not in _NOT_KEPT}
    return KeptAnswer(response.status_code, headers, body.decode())
