from __future__ import annotations

from pathlib import Path

from entrypoint.openvino.weights import MODEL_FILES, Weights
from entrypoint.planning.listen import Listen
from entrypoint.planning.openvino import idle_notes, on_openvino
from entrypoint.settings import read_settings
from entrypoint.shared.handover import OPENVINO_MODEL_VARIABLE
from tests.support.samples import a_plan


def test_a_model_that_is_still_to_be_converted(tmp_path: Path) -> None:
    plan = on_openvino(a_plan(Listen("127.0.0.1", 8000)), Weights(tmp_path, "int8"), True)
    assert plan.env == {OPENVINO_MODEL_VARIABLE: str(tmp_path)}
    assert [option.option for option in plan.options] == [OPENVINO_MODEL_VARIABLE]
    assert "int8" in plan.notes[0].message


def test_one_that_is_converted(tmp_path: Path) -> None:
    for name in MODEL_FILES:
        (tmp_path / name).write_text("x")
    plan = on_openvino(a_plan(Listen("127.0.0.1", 8000)), Weights(tmp_path, "fp16"), False)
    assert plan.notes == ()


def test_int8_of_a_model_that_is_openvinos_already(tmp_path: Path) -> None:
    for name in MODEL_FILES:
        (tmp_path / name).write_text("x")
    plan = on_openvino(a_plan(Listen("127.0.0.1", 8000)), Weights(tmp_path, None), True)
    assert [note.variable for note in plan.notes] == ["VLLM_OPENVINO_ENABLE_QUANTIZED_WEIGHTS"]


def test_variables_that_mean_nothing_on_another_engine() -> None:
    environ = {"VLLM_OPENVINO_CPU_KV_CACHE_PRECISION": "u8", "VLLM_OPENVINO_DEVICE": ""}
    (note,) = idle_notes(read_settings(environ), environ, "cpu")
    assert note.variable == "VLLM_OPENVINO_CPU_KV_CACHE_PRECISION"
