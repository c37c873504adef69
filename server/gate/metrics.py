"""The metrics that the gate adds to ``/metrics``."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import REGISTRY, Counter, Gauge, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from entrypoint.shared.handover import read_status
from entrypoint.shared.metrics import metrics_text

REFUSED = Counter(
    "inference_server_refused_requests",
    "Requests refused before they reached the engine, by reason.",
    ["reason"],
)
RUNNING = Gauge(
    "inference_server_running_requests",
    "Requests holding one of the MAX_CONCURRENT_REQUESTS places.",
    multiprocess_mode="livesum",
)
WAITING = Gauge(
    "inference_server_waiting_requests",
    "Requests waiting for a place, at most MAX_QUEUED_REQUESTS.",
    multiprocess_mode="livesum",
)


class LaunchCollector(Collector):
    """Keeps the launch's metrics in ``/metrics`` after the model has loaded.

    They are missing with several API servers: prometheus_client then collects only from files.
    """

    def collect(self) -> Iterator[Metric]:
        """Yield the launch's metrics; nothing outside a launch."""
        status = read_status()
        if status is not None:
            yield from text_string_to_metric_families(metrics_text(status))

    def describe(self) -> list[Metric]:
        """Return nothing: the metrics are known only when they are collected."""
        return []


REGISTRY.register(LaunchCollector())
