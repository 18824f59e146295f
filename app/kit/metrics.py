"""Metrics for Prometheus."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from app.kit import logs
from app.kit.breaker import Breaker, State
from app.kit.watchdog import LoopWatchdog
from app.kit.workers import WorkerPool

METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)  # seconds, up to REQUEST_TIMEOUT


class Metrics:
    """One registry per application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._requests = Counter(
            "http_requests_total", "Answered requests", ["method", "route", "status"], registry=self.registry
        )
        self._duration = Histogram(
            "http_request_duration_seconds",
            "From the first byte in to the last byte out",
            ["method", "route"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._jobs = Gauge("worker_jobs", "Jobs of a worker pool", ["pool", "state"], registry=self.registry)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request; `route` is the template, so that labels stay few."""
        method = method if method in METHODS else "other"
        # Looking up what belongs to the labels takes longer than counting.
        known = self._known.get((method, route, status))
        if known is None:
            known = self._requests.labels(method, route, str(status)), self._duration.labels(method, route)
            self._known[method, route, status] = known
        requests, duration = known
        requests.inc()
        duration.observe(seconds)

    def watch_pool(self, name: str, pool: WorkerPool) -> None:
        """Report how much runs and waits in a worker pool."""
        self._jobs.labels(name, "running").set_function(lambda: pool.running)
        self._jobs.labels(name, "waiting").set_function(lambda: pool.waiting)

    def watch_breaker(self, breaker: Breaker) -> None:
        """Report whether Redis is in use."""
        usable = Gauge("redis_available", "0 while the circuit breaker keeps calls away", registry=self.registry)
        usable.set_function(lambda: breaker.state is State.CLOSED)

    def watch_loop(self, watchdog: LoopWatchdog) -> None:
        """Report how late the event loop is."""
        lag = Gauge("event_loop_lag_seconds", "Lateness of the last heartbeat", registry=self.registry)
        lag.set_function(lambda: watchdog.lag)

    def watch_logs(self) -> None:
        """Report records that the log writer could not keep up with."""
        dropped = Gauge("log_records_dropped", "Log records lost since the start", registry=self.registry)
        dropped.set_function(lambda: entrance.dropped if (entrance := logs.handler()) else 0)

    def render(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self.registry)
