"""What the gate adds to ``/metrics``."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import REGISTRY, Counter, Gauge, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from entrypoint.shared.handover import read_status
from entrypoint.shared.metrics import metrics_text

REFUSED = Counter(
    "inference_server_refused_requests",
    "Requests that were answered without the engine, by reason.",
    ["reason"],
)
RUNNING = Gauge(
    "inference_server_running_requests",
    "Requests that hold one of MAX_CONCURRENT_REQUESTS places.",
    multiprocess_mode="livesum",
)
WAITING = Gauge(
    "inference_server_waiting_requests",
    "Requests that wait for one, of at most MAX_QUEUED_REQUESTS.",
    multiprocess_mode="livesum",
)


class LaunchCollector(Collector):
    """Goes on showing what ``/metrics`` showed while the model loaded.

    With several API servers prometheus_client collects from files alone, and these are not there.
    """

    def collect(self) -> Iterator[Metric]:
        """Yield the launch's metrics, none outside a launch."""
        status = read_status()
        if status is not None:
            yield from text_string_to_metric_families(metrics_text(status))

    def describe(self) -> list[Metric]:
        """Nothing: what is shown is known only when it is collected."""
        return []


REGISTRY.register(LaunchCollector())
