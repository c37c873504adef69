from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from entrypoint.errors import ArtifactError
from entrypoint.openvino.weights import MODEL_FILES, choose_weights, is_converted
from entrypoint.store.model import Model

SCRATCH = Path("/scratch")
CACHED = Model("cache", Path("/cache/snapshots/abc"), "Org/Model", "abc", None, 10, ())


def test_an_openvino_model_is_served_as_it_is(tmp_path: Path) -> None:
    for name in MODEL_FILES:
        (tmp_path / name).write_text("x")
    weights = choose_weights(replace(CACHED, path=tmp_path), True, SCRATCH)
    assert (weights.path, weights.format) == (tmp_path, None)
    assert weights.complete


def test_an_incomplete_openvino_model_does_not_count_as_one(tmp_path: Path) -> None:
    (tmp_path / MODEL_FILES[0]).write_text("x")
    assert not is_converted(tmp_path)


class TestNames:
    def test_a_conversion_has_a_readable_name(self) -> None:
        weights = choose_weights(CACHED, False, SCRATCH)
        assert weights.path.parent == SCRATCH / "openvino"
        assert weights.path.name.startswith("Org--Model-fp16-")
        assert not weights.complete

    def test_each_revision_and_format_has_its_own_conversion(self) -> None:
        paths = {
            choose_weights(replace(CACHED, revision=revision), quantized, SCRATCH).path
            for revision in ("abc", "def")
            for quantized in (False, True)
        }
        assert len(paths) == 4

    def test_the_same_revision_in_another_place_has_the_same_conversion(self) -> None:
        moved = replace(CACHED, source="tarball", path=Path("/elsewhere"))
        assert choose_weights(moved, False, SCRATCH) == choose_weights(CACHED, False, SCRATCH)

    def test_a_changed_directory_has_another_conversion(self, tmp_path: Path) -> None:
        model = Model("directory", tmp_path, None, None, None, 10, ())
        (tmp_path / "model.safetensors").write_text("x")
        before = choose_weights(model, False, SCRATCH)
        (tmp_path / "model.safetensors").write_text("xy")
        assert choose_weights(model, False, SCRATCH) != before


def test_a_quantized_model_is_refused() -> None:
    model = replace(CACHED, config={"quantization_config": {"quant_method": "awq"}})
    with pytest.raises(ArtifactError, match="awq") as raised:
        choose_weights(model, True, SCRATCH)
    assert "QUANTIZED_WEIGHTS" in (raised.value.hint or "")
