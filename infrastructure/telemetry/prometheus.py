"""The metrics of a process in the Prometheus and OpenMetrics formats."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final, cast

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector
from structlog import get_logger

from application.errors import Degraded
from application.failures import describe
from application.identity import Principal
from application.metrics.telemetry import Exposition, Reading, Source

_SECONDS: Final = 2.0
# Seconds, from the read of a cached user to a long poll.
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

# Each token has a series for each route and status that refused it.
_MAX_REFUSED: Final = 1000
_KINDS: Final = ("none", "session", "oidc")

Check = Callable[[], Awaitable[None]]

log = get_logger(__name__)


class PrometheusTelemetry:
    """See `Telemetry`. `checks` maps each server to a check that raises if the server is away.

    Concurrent scrapes share one read of the sources.
    """

    def __init__(
        self,
        version: str = "",
        sources: Sequence[Source] = (),
        checks: Mapping[str, Check] | None = None,
    ) -> None:
        self._sources = sources
        self._checks = checks or {}
        self._latest = _LatestReadings()
        self._reading: asyncio.Task[list[Reading]] | None = None
        # Otherwise each counter also exports its creation time: twice as many samples.
        disable_created_metrics()
        self._registry = CollectorRegistry(auto_describe=False)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._registry.register(self._latest)
        self._info = Reading(
            name="rollbook_info",
            help="The version that runs.",
            labels=("version",),
            values={(version,): 1},
        )
        self._requests = Counter(
            "rollbook_http_requests_total",
            "Requests answered, by route as it is declared.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._durations = Histogram(
            "rollbook_http_request_duration_seconds",
            "Time from a request to the beginning of its answer.",
            ("method", "route"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._refusals = Counter(
            "rollbook_http_refusals_total",
            "Refused attempts, by route as it is declared, status and token.",
            ("route", "status", "caller"),
            registry=self._registry,
        )
        self._refused: dict[tuple[str, int, str], Counter] = {}

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        known = self._known.get((method, route, status))
        if known is None:
            known = (
                self._requests.labels(method, route, str(status)),
                self._durations.labels(method, route),
            )
            self._known[method, route, status] = known
        requests, durations = known
        requests.inc()
        durations.observe(seconds)

    def refused(self, route: str, status: int, caller: Principal | None) -> None:
        label = _label(caller)
        counter = self._refused.get((route, status, label))
        if counter is None:
            if label not in _KINDS and len(self._refused) >= _MAX_REFUSED:
                label = "other"
            counter = self._refusals.labels(route, str(status), label)
            self._refused[route, status, label] = counter
        counter.inc()

    async def exposition(self, accept: str) -> Exposition:
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(self._read_done)
        # A scraper that disconnects must not cancel the read for the others.
        self._latest.readings = await asyncio.shield(self._reading)
        # The library's own content negotiation fails on malformed headers.
        if "application/openmetrics-text" in accept.lower():
            return Exposition(_openmetrics(self._registry), openmetrics.CONTENT_TYPE_LATEST)
        return Exposition(generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4)

    async def _read(self) -> list[Reading]:
        names = list(self._checks)
        states = asyncio.gather(*(_state(self._checks[name]) for name in names))
        found = await asyncio.gather(*(_readings(source) for source in self._sources))
        up = Reading(
            name="rollbook_up",
            help="Whether a server answers, or a part of Rollbook does its work.",
            labels=("dependency",),
            values={(name,): state for name, state in zip(names, await states, strict=True)},
        )
        return [self._info, up, *(reading for readings in found for reading in readings)]

    def _read_done(self, _: asyncio.Task[list[Reading]]) -> None:
        self._reading = None


# The library's function has no annotations.
_openmetrics = cast("Callable[[CollectorRegistry], bytes]", openmetrics.generate_latest)  # pyright: ignore[reportUnknownMemberType]


class _LatestReadings(Collector):
    """The latest readings, as a collector of the library."""

    def __init__(self) -> None:
        self.readings: Sequence[Reading] = ()

    def collect(self) -> Iterable[Metric]:
        """One metric family per reading."""
        return [_family(reading) for reading in self.readings]


def _label(caller: Principal | None) -> str:
    """The id of a token; of people only the kind, because their actor may be a name."""
    if caller is None:
        return "none"
    return caller.actor if caller.kind == "token" else caller.kind


def _family(reading: Reading) -> Metric:
    family = CounterMetricFamily if reading.kind == "counter" else GaugeMetricFamily
    metric = family(reading.name, reading.help, labels=reading.labels)
    for values, figure in reading.values.items():
        metric.add_metric(values, figure)
    return metric


async def _state(check: Check) -> float:
    try:
        async with asyncio.timeout(_SECONDS):
            await check()
    except Degraded:
        return 1  # it does its work; other readings show what an operator should look at
    except Exception:
        # The component that needs the server logs the reason.
        return 0
    return 1


async def _readings(source: Source) -> Sequence[Reading]:
    try:
        async with asyncio.timeout(_SECONDS):
            return await source()
    except Exception as error:
        log.warning("metrics_left_out", error=describe(error))
        return ()
