"""Refuses requests over a limit before anything else is done for them."""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from fastapi import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from application.access.callers import Callers
from application.access.limits import Limits, network_of, payer_of, without_credential
from application.access.limits_buckets import Rate
from application.access.ports import Presented
from interfaces.http.endpoint.auth import note_caller
from interfaces.http.endpoint.errors import problem
from interfaces.presented import presented_in

# Other paths have fixed answers, or, as /health, are for those that watch the server.
COUNTED: Final = ("/v1/", "/auth/")
# Counts too if the sender is looked up.
_METRICS: Final = "/metrics"
_SIGN_IN: Final = frozenset(
    {
        ("POST", "/auth/signin"),
        ("POST", "/auth/links"),
        ("GET", "/auth/login"),
        ("GET", "/auth/callback"),
    }
)
_TICKETS: Final = ("POST", "/v1/stream/tickets")
_FEW_ATTEMPTS: Final = frozenset(path for _, path in (*_SIGN_IN, _TICKETS))
_ANSWERS: Final = ("http.response.start", "websocket.accept", "websocket.http.response.start")


class RequestLimits:
    """Takes each request from a bucket, and says in its answer what is left.

    The headers are those of draft-ietf-httpapi-ratelimit-headers-12. They tell the rate; the burst
    above it is a reserve for callers whose requests come unevenly.
    """

    def __init__(self, app: ASGIApp, *, limits: Limits, callers: Callers) -> None:
        self._app = app
        self._limits = limits
        self._callers = callers
        # By rate: its policy, and the beginning of what says how much is left.
        self._headers: Mapping[str, tuple[tuple[bytes, bytes], bytes]] = {
            rate.name: (
                (b"ratelimit-policy", _policy(rate.name, rate.per_second, 1)),
                f'"{rate.name}";r='.encode(),
            )
            for rate in (limits.callers.rate, limits.addresses.rate)
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        presented = presented_in(scope)
        if not path.startswith(COUNTED) and (path != _METRICS or presented is None):
            await self._app(scope, receive, send)
            return
        if presented is None:
            payer = without_credential(_address(scope))
            left = self._limits.addresses.take(payer)
            await self._serve(scope, receive, send, self._limits.addresses.rate, payer, left)
            return
        caller = self._callers.known(presented)
        if caller is None:
            await self._serve_unknown(scope, receive, send, presented)
            return
        payer = payer_of(caller)
        left = self._limits.callers.take(payer)
        # Nobody has to find the caller again, and a refusal counts for it.
        note_caller(scope, caller)
        await self._serve(scope, receive, send, self._limits.callers.rate, payer, left)

    async def _serve_unknown(
        self, scope: Scope, receive: Receive, send: Send, presented: Presented
    ) -> None:
        """Serve a sender with a credential that has not been looked up, or is not valid."""
        address = _address(scope)
        # Salted, so that nobody can send two secrets with one hash.
        secret = hash(presented.secret)
        look_ups, rate = self._limits.look_ups, self._limits.addresses.rate
        payer = without_credential(address)
        left, begins = look_ups.take(address, secret)
        if not begins:
            await self._serve(scope, receive, send, rate, payer, left)
            return
        ended = False

        def end(*, is_valid: bool | None) -> None:
            nonlocal ended
            if not ended:
                ended = True
                look_ups.ended(address, secret, is_valid)

        async def answer(message: Message) -> None:
            if message["type"] in _ANSWERS:
                is_refused = message.get("status") == 401
                is_known = self._callers.known(presented) is not None
                end(is_valid=False if is_refused else True if is_known else None)
            await send(message)

        try:
            await self._serve(scope, receive, answer, rate, payer, left)
        finally:
            end(is_valid=None)

    async def _serve(
        self, scope: Scope, receive: Receive, send: Send, rate: Rate, payer: str, left: float
    ) -> None:
        if left < 0:
            refusal = _refusal(rate.name, rate.per_second, 1, math.ceil(rate.seconds(left)))
            await refusal(scope, receive, send)
            return
        if scope["path"] in _FEW_ATTEMPTS:
            refusal = await self._over_window(scope, payer)
            if refusal is not None:
                await refusal(scope, receive, send)
                return
        # What is left of the rate, above the burst's reserve.
        rest = max(int(left) + rate.per_second - rate.burst, 0)
        policy, beginning = self._headers[rate.name]
        headers = (policy, (b"ratelimit", b"%b%d;t=1" % (beginning, rest)))

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
            await send(message)

        await self._app(scope, receive, answer)

    async def _over_window(self, scope: Scope, payer: str) -> Response | None:
        """The refusal of one attempt too many to sign in or to get a ticket."""
        if scope["type"] != "http":
            return None
        asked = scope["method"], scope["path"]
        if asked in _SIGN_IN:
            attempts, key = self._limits.sign_in, _address(scope)
        elif asked == _TICKETS:
            attempts, key = self._limits.tickets, payer
        else:
            return None
        wait = await attempts.attempt(key)
        window = attempts.window
        return (
            _refusal(window.name, window.limit, window.seconds, math.ceil(wait)) if wait else None
        )


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return network_of(client[0]) if client else ""


def _policy(name: str, quota: int, seconds: int) -> bytes:
    return f'"{name}";q={quota};w={seconds}'.encode()


@lru_cache(256)
def _refusal(policy: str, quota: int, window: int, seconds: int) -> Response:
    return problem(
        "rate-limited",
        f"More than {quota} requests in {window} s; repeat it after {seconds} s.",
        {"policy": policy},
        {
            "RateLimit-Policy": _policy(policy, quota, window).decode(),
            "RateLimit": f'"{policy}";r=0;t={seconds}',
            "Retry-After": str(seconds),
        },
    )
