"""What operators see of the service: one structured line a request, and metrics to scrape.

Neither holds what was sent: no body, no query, no path but its template, so no number, name or
record id of anyone.
"""

import logging
import sys
import time
from collections.abc import Callable, Iterator

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.city import City
from api.finality import Overview, overview
from keys.errors import ZhenglianError

EXPOSITION = CONTENT_TYPE_LATEST
_UNROUTED = "-"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


class Metrics:
    """Counts of one application, in a registry of its own."""

    def __init__(self, city: City) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "zhenglian_http_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self.seconds = Histogram(
            "zhenglian_http_request_seconds",
            "Time from the request's head to the end of its answer.",
            ("route",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._registry.register(_CityMetrics(city))

    def text(self) -> bytes:
        """In the Prometheus text format."""
        return generate_latest(self._registry)


class _CityMetrics:
    """Read from the city when asked; what cannot be read then is left out."""

    def __init__(self, city: City) -> None:
        self._city = city
        self._opened_at = city.ledger.size

    def describe(self) -> list[Metric]:
        return []  # nothing is read before the first scrape

    def collect(self) -> Iterator[Metric]:
        keys = GaugeMetricFamily("zhenglian_open_keys", "Signing keys open in this process.")
        keys.add_metric([], len(self._city.signers))
        yield keys
        try:
            seen = overview(self._city)
        except ZhenglianError:
            return
        size = seen.signed
        yield from _gauges(seen, int(self._city.clock()))
        appended = CounterMetricFamily(
            "zhenglian_appended_entries", "Entries published since this process opened the ledger."
        )
        appended.add_metric([], size - self._opened_at)
        yield appended


def _gauges(seen: Overview, now: int) -> Iterator[Metric]:
    """How far the ledger is signed and final, and each witness of the policy by its address."""
    plain = {
        "zhenglian_tree_size": ("Entries under the signed checkpoint.", seen.signed),
        "zhenglian_final_size": ("Entries under the final checkpoint.", seen.final),
        "zhenglian_final_behind_seconds": (
            "Since the first entry that is not final yet was logged.",
            seen.behind,
        ),
        "zhenglian_final_overdue": ("1 if that is longer than allowed.", int(seen.overdue)),
        "zhenglian_witness_override": (
            "1 while an override policy is in force.",
            int(bool(seen.override)),
        ),
        "zhenglian_writing_refused": (
            "1 once the ledger is found to have lost what it signed.",
            int(seen.refusal is not None),
        ),
    }
    if seen.quorum_at is not None:
        plain["zhenglian_quorum_age_seconds"] = (
            "Since the latest cosignature of the final checkpoint.",
            max(0, now - seen.quorum_at),
        )
    for name, (words, value) in plain.items():
        gauge = GaugeMetricFamily(name, words)
        gauge.add_metric([], value)
        yield gauge
    up = GaugeMetricFamily("zhenglian_witness_up", "Whether it last answered well.", labels=["url"])
    last = GaugeMetricFamily(
        "zhenglian_witness_size", "Entries of the largest tree it cosigned.", labels=["url"]
    )
    for witness in seen.witnesses:
        up.add_metric([witness.url], int(witness.up))
        last.add_metric([witness.url], witness.size)
    yield from (up, last)


class Observed:
    """Pure ASGI middleware: counts and logs each request when its answer has ended.

    The counts are those of `app.state.metrics`. `log` takes an event and its values; `monotonic`
    gives seconds.
    """

    def __init__(
        self,
        app: ASGIApp,
        log: Callable[..., object] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.app = app
        self.log = log or structlog.get_logger("zhenglian.request").info
        self.monotonic = monotonic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = self.monotonic(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noted)
        finally:
            self._note(scope, status, self.monotonic() - began)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", _UNROUTED)
        method = scope["method"] if scope["method"] in _METHODS else _UNROUTED
        metrics: Metrics = scope["app"].state.metrics
        metrics.requests.labels(method, route, str(status)).inc()
        metrics.seconds.labels(route).observe(seconds)
        self.log(
            "request",
            method=method,
            route=route,
            status=status,
            ms=round(seconds * 1000, 1),
            client=scope.get("state", {}).get("client"),
        )


def log_as_json() -> None:
    """One JSON object a line on stderr, for structlog and for the standard library alike.

    Called once by the commands that serve; never at import.
    """
    shared: list[structlog.types.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render = structlog.processors.JSONRenderer(ensure_ascii=False)
    structlog.configure(
        processors=[*shared, render],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                render,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("uvicorn.access").disabled = True  # it would log queries


def log_warnings_only() -> None:
    """For a person at a terminal: no line for each request."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
