"""Failures of settings: messages of vLLM, and the causes they lead to."""

import pytest

from entrypoint.diagnosis.catalogue.settings import FAILURES
from tests.support.failure_logs import explain


@pytest.mark.parametrize(
    ("text", "kind", "cause"),
    [
        (
            "ValueError: User-specified max_model_len (9000) is greater than the derived "
            "max_model_len (max_position_embeddings=4096)",
            "length-above-model",
            "--max-model-len is 9000, and the model's maximum context length is 4096",
        ),
        (
            "ValueError: Total number of attention heads (9) must be divisible by tensor parallel "
            "size (2).",
            "shards-do-not-divide",
            "the model's 9 attention heads cannot be split into 2 equal parts",
        ),
        (
            "ValueError: Unknown quantization method: q9.",
            "quantization-unsupported",
            "vLLM does not support the quantization method q9",
        ),
        ("ValueError: LoRA is not enabled", "adapter-limit", "the LoRA options contradict"),
        (
            "ModuleNotFoundError: No module named 'mamba_ssm'",
            "package-missing",
            "the Python package mamba_ssm is not installed",
        ),
        ("ModuleNotFoundError: No module named 'ray'", "ray-unreachable", "Ray is not installed"),
        ("ImportError: a.so: undefined symbol: _Z", "library-broken", "a library cannot be loaded"),
        (
            "serve.py: error: argument --port: invalid int value: 'x'",
            "invalid-option",
            "vLLM rejected the option --port: invalid int value: 'x'",
        ),
    ],
)
def test_a_message_about_a_wrong_setting_states_its_cause(text: str, kind: str, cause: str) -> None:
    found, explained = explain(FAILURES, text)
    assert found == kind
    assert cause in explained


def test_a_bug_is_not_a_wrong_setting() -> None:
    text = "TypeError: unsupported operand type(s) for +: 'Tensor' and 'Tensor'"
    assert explain(FAILURES, text) == ("", "")
