"""Failures of models: messages of vLLM and of the hub, and the causes they lead to."""

import pytest

from entrypoint.diagnosis.catalogue.artifact import FAILURES
from tests.support.failure_logs import explain


@pytest.mark.parametrize(
    ("text", "kind", "cause"),
    [
        (
            "ValueError: Model architectures ['FancyLM'] are not supported for now.",
            "architecture-unsupported",
            "architecture 'FancyLM'",
        ),
        (
            "ValueError: Model architecture OldLM was supported in vLLM until v0.10.2, and is gone",
            "architecture-unsupported",
            "no longer supports the model's architecture OldLM",
        ),
        (
            "RuntimeError: Cannot find any model weights with `/models/a`",
            "model-missing",
            "/models/a contains no weight files",
        ),
        (
            "OSError: acme/no-such is not a local folder and is not a valid model identifier",
            "model-missing",
            "acme/no-such is neither a folder nor a model on the hub",
        ),
        (
            "safetensors_rust.SafetensorError: Error while deserializing header: header too large",
            "weights-corrupt",
            "(header too large)",
        ),
        (
            "ValueError: LoRA rank 64 is greater than max_lora_rank 16.",
            "adapter-unusable",
            "rank 64, and --max-lora-rank is 16",
        ),
        (
            "OSError: It looks like the config file at '/m/config.json' is not a valid JSON file.",
            "config-unusable",
            "/m/config.json is not valid JSON",
        ),
        ("GatedRepoError: 403 Client Error.", "gated-model", "denied access"),
        (
            "httpx.ConnectError: [SSL] certificate verify failed",
            "hub-unreachable",
            "TLS certificate",
        ),
    ],
)
def test_a_message_about_a_model_problem_states_its_cause(text: str, kind: str, cause: str) -> None:
    found, explained = explain(FAILURES, text)
    assert found == kind
    assert cause in explained
