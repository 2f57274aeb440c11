"""Tickets to the live stream, for clients that cannot send a header, such as browsers."""

from typing import Final

import msgspec
from fastapi import Request, Response
from msgspec import Struct
from pydantic import TypeAdapter

from application.timestamps import Timestamp, timestamp
from interfaces.http.endpoint import openapi
from interfaces.http.endpoint.auth import admit
from interfaces.http.endpoint.operation import Operation
from interfaces.http.endpoint.services import Services
from interfaces.http.protocol.body import JSON, parse_body, read_body
from interfaces.http.protocol.negotiation import refuse_unacceptable
from interfaces.http.protocol.validation import NoParameters, RequestModel, fields, parameters

_SUMMARY: Final = "Get a ticket to the live stream: one use, within 30 seconds"


class TicketRequest(RequestModel):
    """No member is needed."""


class StreamTicket(Struct, frozen=True):
    """Send `ticket` in the first message to `WS /v1/stream`."""

    ticket: str
    expires_at: Timestamp


_BODY: Final = TypeAdapter(TicketRequest)
_PARAMETERS: Final = TypeAdapter(NoParameters)


async def _issue(services: Services, request: Request) -> Response:
    principal = await admit(request, services.identity, "events:read")
    refuse_unacceptable(request)
    body = parse_body(await read_body(request, (JSON,), required=False), required=False)
    parameters(request, _PARAMETERS)
    fields(_BODY, body)
    issued = await services.tickets.issue(principal)
    ticket = StreamTicket(issued.ticket, timestamp(issued.expires_at))
    return Response(msgspec.json.encode(ticket), 201, media_type=JSON)


TICKETS: Final[tuple[Operation, ...]] = (
    Operation(
        method="POST",
        path="/v1/stream/tickets",
        name="create_stream_ticket",
        tag="Events",
        summary=_SUMMARY,
        status=201,
        serve=_issue,
        body=_BODY,
        answers=StreamTicket,
        document={
            **openapi.security("events:read"),
            "parameters": openapi.header_parameters("X-Request-ID"),
            "requestBody": openapi.request_body(_BODY, (JSON,), required=False),
            "responses": {
                "201": openapi.answer(_SUMMARY, StreamTicket),
                **openapi.problem_answers(
                    (
                        "malformed-request",
                        "unauthenticated",
                        "forbidden",
                        "not-acceptable",
                        "too-large",
                        "unsupported-media-type",
                        "invalid-request",
                        "internal",
                        "unavailable",
                    )
                ),
            },
        },
    ),
)
