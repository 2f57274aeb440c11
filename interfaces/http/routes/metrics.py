"""The metrics of the process, for clients on the same machine and for administrators."""

from ipaddress import IPv6Address, ip_address
from typing import Final

from fastapi import Request, Response

from interfaces.http.endpoint import openapi
from interfaces.http.endpoint.auth import admit
from interfaces.http.endpoint.operation import Operation
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
_FORMS: Final = ("text/plain", "application/openmetrics-text")


async def _metrics(services: Services, request: Request) -> Response:
    if not _is_local(request):
        await admit(request, services.identity, "admin")
    exposition = await services.telemetry.exposition(header(request, "Accept") or "")
    headers = {"Cache-Control": "no-store"}
    return await compressible(request, exposition.body, headers, exposition.media_type)


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


METRICS: Final[tuple[Operation, ...]] = (
    Operation(
        method="GET",
        path="/metrics",
        name="read_metrics",
        tag="Health",
        summary="The figures of this process, as Prometheus and OpenMetrics write them",
        status=200,
        serve=_metrics,
        document={
            "description": "Open to clients on the same machine, else with `admin`.",
            "security": [{}, *openapi.security("admin")["security"]],
            "parameters": openapi.header_parameters("X-Request-ID"),
            "responses": {
                "200": {
                    "description": "The figures.",
                    "content": {form: {"schema": {"type": "string"}} for form in _FORMS},
                },
                **openapi.problem_answers(("unauthenticated", "forbidden", "internal")),
            },
        },
    ),
)
