"""The metrics of the process, for clients on the same machine and for administrators."""

from typing import Final
from urllib.parse import urlsplit

from fastapi import Request, Response

from application.identity import Principal
from interfaces.http.endpoint.auth import OPEN, Admission, require
from interfaces.http.endpoint.call import Query
from interfaces.http.endpoint.operation import operation
from interfaces.http.endpoint.services import Services
from interfaces.http.protocol.headers import header
from interfaces.http.protocol.hosts import host_of, is_loopback
from interfaces.http.protocol.negotiation import compressible

# What scrapers and browsers send by themselves. Proxies add their own headers under too many names
# to list (Forwarded, X-Forwarded-…, CF-…, X-Envoy-…), so any other name counts as theirs.
_SENT_BY_CLIENTS: Final = frozenset(
    {
        "authorization",
        "cache-control",
        "connection",
        "cookie",
        "dnt",
        "host",
        "keep-alive",
        "pragma",
        "priority",
        "referer",
        "te",
        "traceparent",
        "tracestate",
        "upgrade-insecure-requests",
        "user-agent",
        "x-request-id",
    }
)
_SENT_PREFIXES: Final = ("accept", "if-", "rollbook-", "sec-", "x-prometheus-")
_ADMINISTRATORS: Final = require("admin")
_FORMS: Final = ("text/plain", "application/openmetrics-text")


def _is_local(request: Request, public_url: str | None) -> bool:
    """Whether the client is on this machine, without a proxy between, and asks for this server.

    A header of a proxy makes the request a remote one, whatever it says. A page in a browser whose
    name was made to lead to this machine (DNS rebinding) sends that name as the host.
    """
    if request.client is None or not is_loopback(request.client.host):
        return False
    if any(
        name not in _SENT_BY_CLIENTS and not name.startswith(_SENT_PREFIXES)
        for name in request.headers
    ):
        return False
    host = host_of(request)
    public_host = urlsplit(public_url).hostname if public_url else None
    return host in ("localhost", public_host) or is_loopback(host)


async def _admit(services: Services, request: Request) -> Principal:
    admission = OPEN if _is_local(request, services.public_url) else _ADMINISTRATORS
    return await admission.admit(services, request)


@operation(
    "GET",
    "/metrics",
    tag="Health",
    summary="The figures of this process, as Prometheus and OpenMetrics write them",
    admission=Admission(_admit, [{}, *_ADMINISTRATORS.security]),
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
    """Open to clients on the same machine, else with `admin`.

    A client on the same machine connects from a loopback address without a proxy, and its `Host` is
    a loopback address, `localhost` or the host of `ROLLBOOK_PUBLIC_URL`.
    """
    exposition = await call.services.telemetry.exposition(header(call.request, "Accept") or "")
    headers = {"Cache-Control": "no-store"}
    return await compressible(call.request, exposition.body, headers, exposition.media_type)
