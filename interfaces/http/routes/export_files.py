"""The file of an export: its rows as a stream, written while it is sent."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Any, Final

import msgspec
from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from msgspec import Struct

from application.exports import formats as export_text
from application.exports.requests import Format, What
from application.exports.rows import ExportGone, Row
from application.identity import Principal
from application.jobs.model import Job
from interfaces.http.endpoint.middleware import is_head
from interfaces.http.endpoint.openapi import answer
from interfaces.http.endpoint.services import Services
from interfaces.http.protocol.consistency import POSITION
from interfaces.http.protocol.negotiation import refuse_unacceptable
from interfaces.http.protocol.refusals import FileExpired, Forbidden

_TYPES: Final = {form: media.partition(";")[0] for form, media in export_text.MEDIA_TYPES.items()}
FORMATS: Final = tuple(_TYPES.values())


class ExportResult(Struct, frozen=True):
    """The result of an export's job: the number of rows, and the position that they show."""

    what: What
    format: Format
    rows: int
    position: int


async def export_file(
    services: Services, request: Request, principal: Principal, job: Job
) -> Response:
    """The file of an export that succeeded.

    The first piece is read before anything is sent. Raises `Forbidden`, `NotAcceptable`,
    `FileExpired` and `Unavailable`.
    """
    result = msgspec.convert(job.result, ExportResult)
    if result.what == "users" and not principal.may("users:read"):
        raise Forbidden("users:read")
    refuse_unacceptable(request, (_TYPES[result.format],))
    batches = services.export_rows.batches(
        job.id, result.what, result.rows, opened=principal.may("users:read")
    )
    try:
        first = await anext(batches)
    except ExportGone:
        raise FileExpired from None
    headers = {
        POSITION: str(result.position),
        "Content-Disposition": f'attachment; filename="{result.what}-{job.id}.{result.format}"',
    }
    media_type = export_text.MEDIA_TYPES[result.format]
    if is_head(request):
        await batches.aclose()
        response = Response(headers=headers, media_type=media_type)
        # The length of the file is not known before it is written.
        del response.headers["Content-Length"]
        return response
    return StreamingResponse(_text(result, first, batches), 200, headers, media_type)


async def _text(
    result: ExportResult, first: Sequence[Row], batches: AsyncGenerator[Sequence[Row]]
) -> AsyncIterator[bytes]:
    """An error in the middle aborts the answer, so that the client sees that it is incomplete."""
    what, form = result.what, result.format
    try:
        yield export_text.head(what, form) + export_text.text(what, form, first)
        async for batch in batches:
            yield export_text.text(what, form, batch)
    finally:
        await batches.aclose()


def or_file(summary: str, body: type[Struct]) -> dict[str, Any]:
    """The description of an answer that may also be a file."""
    found = answer(summary, body, (POSITION,))
    found["headers"]["Content-Disposition"] = {"schema": {"type": "string"}}
    file = {"schema": {"type": "string", "description": "The rows of an export."}}
    found["content"].update(dict.fromkeys(FORMATS, file))
    return found
