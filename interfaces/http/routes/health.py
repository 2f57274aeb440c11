"""Liveness and readiness of the process."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Final, Literal

import msgspec
from fastapi import Response
from msgspec import Struct

from application.errors import Unavailable
from interfaces.http.endpoint.call import Query
from interfaces.http.endpoint.openapi import answer
from interfaces.http.endpoint.operation import operation
from interfaces.http.endpoint.readiness import Check, State
from interfaces.http.endpoint.services import ReadinessCheck, Services
from interfaces.http.protocol.body import JSON

# All checks run at once, so the whole answer takes no longer either.
_CHECK_SECONDS: Final = 1.8
# What the process needs to answer, by the states that prevent it. Without the rest some commands are
# refused, answers are slower or not current, or work waits; each check says what.
_NEEDED: Final[Mapping[str, Collection[State]]] = {
    "postgres": ("down", "degraded"),
    "views": ("down",),
}
_HEADERS: Final = {"Cache-Control": "no-store"}


class Live(Struct, frozen=True):
    status: Literal["ok"]


class Ready(Struct, frozen=True, omit_defaults=True):
    """`checks` has the state of each server (`postgres`, `redis`, `rabbitmq`, `mail`), of each part of
    Rollbook (`projector`, `relay`, `worker`: `up` if any process does its work), of the current
    `master-key`, and of the `views`. What is not configured is `off`.

    Only without `postgres` or readable `views` the status is `not-ready`. `postgres` is `degraded`
    while its disk is full: no command can be recorded. `views` are `degraded` while the serving
    generations are of an older release: all answers go on, with new columns empty. `relay` is
    `degraded` while it is more than 30 s behind, or has set events aside.

    `parked` counts the parked streams of each projection that has any: they need an administrator,
    but they stop nothing else.
    """

    status: Literal["ready", "not-ready"]
    checks: Mapping[str, Check]
    parked: Mapping[str, int] = {}


@operation(
    "GET",
    "/health/live",
    tag="Health",
    summary="Whether the process lives",
    answers=Live,
    headers=(),
    formats=(),
    responses={"200": answer("It does.", Live)},
)
async def read_liveness(_: Query[None]) -> Response:
    return Response(msgspec.json.encode(Live("ok")), headers=_HEADERS, media_type=JSON)


@operation(
    "GET",
    "/health/ready",
    tag="Health",
    summary="Whether the process can do its work, and which dependency is missing",
    answers=Ready,
    headers=(),
    formats=(),
    responses={
        "200": answer("All is there.", Ready),
        "503": answer("Something is missing.", Ready),
    },
)
async def read_readiness(call: Query[None]) -> Response:
    services = call.services
    names, now = list(services.readiness), services.now()
    checks = asyncio.gather(*(_error(services.readiness[name]) for name in names))
    errors, parked = await asyncio.gather(checks, _parked(services))
    found = {
        name: services.states.of(name, error, now, off=services.readiness[name] is None)
        for name, error in zip(names, errors, strict=True)
    }
    missing = any(check.state in _NEEDED.get(name, ()) for name, check in found.items())
    ready = not missing and not services.stopping.is_set()
    body = Ready("ready" if ready else "not-ready", found, parked)
    return Response(msgspec.json.encode(body), 200 if ready else 503, _HEADERS, JSON)


async def _parked(services: Services) -> Mapping[str, int]:
    """Empty if the count cannot be read: the checks then say why."""
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            return await services.projections.parked_counts()
    except (TimeoutError, Unavailable):
        return {}


async def _error(check: ReadinessCheck | None) -> Exception | None:
    if check is None:
        return None
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            await check()
    except Exception as error:
        return error
    return None
