"""A launch's status in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from entrypoint.shared.handover import Phase

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def metrics_text(status: dict[str, Any]) -> str:
    """Return the metrics of a launch.

    Args:
        status: The document of ``/v1/status``.
    """
    return "".join(f"{line}\n" for line in _lines(status))


def _lines(status: dict[str, Any]) -> Iterator[str]:
    current = Phase(status["phase"])
    yield from _head("phase", "1 for the launch's current phase, 0 for the others.")
    for phase in Phase:
        yield f'inference_server_phase{{phase="{phase}"}} {int(phase is current)}'
    yield from _head("phase_seconds", "Seconds spent in each phase of the launch so far.")
    for name, seconds in status["phases"].items():
        yield f'inference_server_phase_seconds{{phase="{name}"}} {seconds}'
    size = status["bytes"]
    yield from _gauge("start_seconds", "Seconds since the launch started.", status["seconds"])
    yield from _gauge("model_bytes", "Bytes of the model, 0 until they are known.", size["total"])
    yield from _gauge(
        "model_bytes_done", "Bytes of the model that the phase has processed.", size["done"]
    )
    if size["per_second"] is not None:
        yield from _gauge(
            "model_bytes_per_second",
            "Bytes that the phase processes per second, at present.",
            size["per_second"],
        )
    if status["remaining_seconds"] is not None:
        yield from _gauge(
            "remaining_seconds",
            "Seconds until the model is ready, estimated from the last start.",
            status["remaining_seconds"],
        )


def _head(name: str, text: str) -> Iterator[str]:
    yield f"# HELP inference_server_{name} {text}"
    yield f"# TYPE inference_server_{name} gauge"


def _gauge(name: str, text: str, value: float) -> Iterator[str]:
    yield from _head(name, text)
    yield f"inference_server_{name} {value}"
