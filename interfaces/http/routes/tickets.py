"""Tickets to the live stream, for clients that cannot send a header, such as browsers."""

from fastapi import Response
from msgspec import Struct

from application.timestamps import Timestamp, timestamp
from interfaces.http.endpoint.answers import resource
from interfaces.http.endpoint.call import Command
from interfaces.http.endpoint.operation import operation
from interfaces.http.protocol.validation import RequestModel


class TicketRequest(RequestModel):
    """No member is needed."""


class StreamTicket(Struct, frozen=True):
    """Send `ticket` in the first message to `WS /v1/stream`; a repeat of the request has none."""

    ticket: str | None
    expires_at: Timestamp


@operation(
    "POST",
    "/v1/stream/tickets",
    tag="Events",
    summary="Get a ticket to the live stream: one use, within 30 seconds",
    answers=StreamTicket,
    status=201,
    secrets=("ticket",),
)
async def create_stream_ticket(call: Command[TicketRequest]) -> Response:
    issued = await call.services.tickets.issue(call.principal)
    ticket = StreamTicket(issued.ticket, timestamp(issued.expires_at))
    return resource(ticket, await call.log_position(), 201)
