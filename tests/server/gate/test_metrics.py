"""The metrics that the gate adds."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, generate_latest

from entrypoint.shared.handover import RUN_DIRECTORY_VARIABLE, STATUS
from entrypoint.status.timeline import Timeline
from server.gate import metrics


def test_the_launchs_metrics_stay_after_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = {**Timeline(started=0.0).as_dict(5.0), "as_of": time.monotonic()}
    (tmp_path / STATUS).write_text(json.dumps(status))
    monkeypatch.setenv(RUN_DIRECTORY_VARIABLE, str(tmp_path))
    text = generate_latest(REGISTRY).decode()
    assert 'inference_server_phase{phase="resolve"} 1.0' in text
    assert "inference_server_start_seconds 5" in text


def test_outside_a_launch_no_metrics_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RUN_DIRECTORY_VARIABLE, raising=False)
    assert list(metrics.LaunchCollector().collect()) == []


def test_refusals_are_counted_by_reason() -> None:
    metrics.REFUSED.labels("of-a-test").inc()
    name = "inference_server_refused_requests_total"
    assert REGISTRY.get_sample_value(name, {"reason": "of-a-test"}) == 1
