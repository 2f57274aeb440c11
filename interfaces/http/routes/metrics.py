"""The metrics of the process, for clients on the same machine and for administrators."""

from ipaddress import IPv6Address, ip_address
from typing import Final

from fastapi import Request, Response

from application.identity import Principal
from interfaces.http.endpoint.auth import OPEN, Admission, require
from interfaces.http.endpoint.call import Query
from interfaces.http.endpoint.operation import operation
from interfaces.http.endpoint.services import Services
from interfaces.http.protocol.headers import header
from interfaces.http.protocol.negotiation import compressible

# A proxy sets one of these when it forwards a request.
_FORWARDED: Final = (
    "Forwarded",
    "Via",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Real-IP",
)
_ADMINISTRATORS: Final = require("admin")
_FORMS: Final = ("text/plain", "application/openmetrics-text")


def _is_local(request: Request) -> bool:
    """Whether the client is on this machine, without a proxy between.

    Forwarding headers are never trusted: any of them makes the request a remote one.
    """
    if request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    try:
        address = ip_address(request.client.host)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback


async def _admit(services: Services, request: Request) -> Principal:
    return await (OPEN if _is_local(request) else _ADMINISTRATORS).admit(services, request)


@operation(
    "GET",
    "/metrics",
    tag="Health",
    summary="The figures of this process, as Prometheus and OpenMetrics write them",
    needs=Admission(_admit, [{}, *_ADMINISTRATORS.security]),
    answers=None,
    headers=(),
    responses={
        "200": {
            "description": "The figures.",
            "content": {form: {"schema": {"type": "string"}} for form in _FORMS},
        }
    },
)
async def read_metrics(call: Query[None]) -> Response:
    """Open to clients on the same machine, else with `admin`."""
    exposition = await call.services.telemetry.exposition(header(call.request, "Accept") or "")
    headers = {"Cache-Control": "no-store"}
    return await compressible(call.request, exposition.body, headers, exposition.media_type)
