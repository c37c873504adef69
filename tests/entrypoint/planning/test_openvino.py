"""What a plan on OpenVINO checks and notes."""

from __future__ import annotations

from pathlib import Path

import pytest

from entrypoint.errors import SettingError
from entrypoint.openvino.weights import MODEL_FILES, Weights
from entrypoint.planning.openvino import check_one_rank, openvino_notes, unused_openvino_notes
from entrypoint.planning.parallel import ParallelSizes
from tests.support.samples import asked


def converted(directory: Path) -> Path:
    for name in MODEL_FILES:
        (directory / name).write_text("x")
    return directory


def test_a_conversion_to_come_is_noted(tmp_path: Path) -> None:
    (note,) = openvino_notes(asked(), Weights(tmp_path, "int8"))
    assert "int8" in note.message


def test_a_converted_model_needs_no_note(tmp_path: Path) -> None:
    assert not list(openvino_notes(asked(), Weights(converted(tmp_path), "fp16")))


def test_int8_has_no_effect_on_an_openvino_model(tmp_path: Path) -> None:
    request = asked(VLLM_OPENVINO_ENABLE_QUANTIZED_WEIGHTS="ON")
    (note,) = openvino_notes(request, Weights(converted(tmp_path), None))
    assert note.variable == "VLLM_OPENVINO_ENABLE_QUANTIZED_WEIGHTS"


def test_openvinos_variables_are_noted_on_another_engine() -> None:
    request = asked(VLLM_OPENVINO_CPU_KV_CACHE_PRECISION="u8", VLLM_OPENVINO_DEVICE="")
    (note,) = unused_openvino_notes(request, "cpu")
    assert note.variable == "VLLM_OPENVINO_CPU_KV_CACHE_PRECISION"


def test_more_than_one_rank_is_refused() -> None:
    check_one_rank(ParallelSizes(1, 1, "NUM_SHARD", ""))
    with pytest.raises(SettingError, match=r"NUM_SHARD=2.*does not support tensor") as raised:
        check_one_rank(ParallelSizes(2, 2, "NUM_SHARD", "NUM_SHARD=2"))
    assert raised.value.variable == "NUM_SHARD"
