from __future__ import annotations

from pathlib import Path

from entrypoint.handover import OPENVINO_MODEL_VARIABLE
from entrypoint.listener import Listen
from entrypoint.openvino.plan import on_openvino
from entrypoint.openvino.weights import MODEL_FILES, Weights
from tests.entrypoint.samples import a_plan


def test_a_model_that_is_still_to_be_converted(tmp_path: Path) -> None:
    plan = on_openvino(a_plan(Listen("127.0.0.1", 8000)), Weights(tmp_path, "int8"))
    assert plan.env == {OPENVINO_MODEL_VARIABLE: str(tmp_path)}
    assert [option.option for option in plan.options] == [OPENVINO_MODEL_VARIABLE]
    assert "int8" in plan.notes[0].message


def test_one_that_is_converted(tmp_path: Path) -> None:
    for name in MODEL_FILES:
        (tmp_path / name).write_text("x")
    plan = on_openvino(a_plan(Listen("127.0.0.1", 8000)), Weights(tmp_path, "fp16"))
    assert plan.notes == ()
