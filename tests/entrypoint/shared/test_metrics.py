"""The launch's metrics, read with Prometheus' own parser."""

from prometheus_client.parser import text_string_to_metric_families

from entrypoint.shared.handover import Phase
from entrypoint.shared.metrics import metrics_text
from entrypoint.status.timeline import Timeline


def read(text: str) -> dict[tuple[str, str], float]:
    """Return ``{(name, phase): value}``."""
    return {
        (sample.name, sample.labels.get("phase", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_an_unpacking_shows_phase_seconds_bytes_and_rate() -> None:
    timeline = Timeline(started=0.0, expected={Phase.UNPACK: 10.0, Phase.IMPORT: 5.0})
    timeline.enter(Phase.UNPACK, 2.0)
    timeline.set_bytes(0, 1000, 2.0)
    timeline.set_bytes(400, 1000, 4.0)
    found = read(metrics_text(timeline.as_dict(6.0)))
    assert found["inference_server_phase", "unpack"] == 1
    assert found["inference_server_phase", "import"] == 0
    assert sum(value for (name, _), value in found.items() if name.endswith("_phase")) == 1
    assert found["inference_server_phase_seconds", "resolve"] == 2
    assert found["inference_server_phase_seconds", "unpack"] == 4
    assert found["inference_server_start_seconds", ""] == 6
    assert found["inference_server_model_bytes", ""] == 1000
    assert found["inference_server_model_bytes_done", ""] == 400
    assert found["inference_server_model_bytes_per_second", ""] == 100
    assert found["inference_server_remaining_seconds", ""] == 6 + 5


def test_unknown_values_are_left_out() -> None:
    names = {name for name, _ in read(metrics_text(Timeline(started=0.0).as_dict(1.0)))}
    assert "inference_server_remaining_seconds" not in names
    assert "inference_server_model_bytes_per_second" not in names


def test_each_metric_is_a_gauge_with_a_description() -> None:
    for family in text_string_to_metric_families(metrics_text(Timeline(started=0.0).as_dict(1.0))):
        assert family.type == "gauge"
        assert family.documentation.endswith(".")
