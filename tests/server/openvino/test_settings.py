"""The pipeline's settings in the environment."""

from __future__ import annotations

from pathlib import Path

from entrypoint.shared.handover import OPENVINO_MODEL_VARIABLE
from server.openvino.settings import PipelineSettings, take_settings


def test_without_a_model_vllms_own_engine_runs() -> None:
    environ = {"PATH": "/bin", "VLLM_OPENVINO_DEVICE": "GPU"}
    assert take_settings(environ) is None
    assert environ == {"PATH": "/bin"}


def test_the_settings_are_read_and_removed() -> None:
    environ = {
        OPENVINO_MODEL_VARIABLE: "/scratch/model",
        "VLLM_OPENVINO_DEVICE": "gpu.1",
        "VLLM_OPENVINO_KVCACHE_SPACE": "4",
        "VLLM_OPENVINO_KV_CACHE_PRECISION": "u8",
        "VLLM_LOGGING_LEVEL": "INFO",
    }
    assert take_settings(environ) == PipelineSettings(Path("/scratch/model"), "GPU.1", 4, "u8")
    assert set(environ) == {OPENVINO_MODEL_VARIABLE, "VLLM_LOGGING_LEVEL"}
