"""Failures of devices: messages of drivers and of vLLM, and the causes they lead to."""

import pytest

from entrypoint.diagnosis.catalogue.devices import FAILURES
from tests.support.failure_logs import explain


@pytest.mark.parametrize(
    ("text", "kind", "cause"),
    [
        (
            "RuntimeError: The NVIDIA driver on your system is too old (found version 12040).",
            "driver-too-old",
            "supports CUDA up to version 12040",
        ),
        ("RuntimeError: No CUDA GPUs are available", "no-device", "no accelerator is available"),
        (
            "ValueError: World size (4) is larger than the number of available GPUs (2)",
            "too-few-devices",
            "requires 4 devices, and 2 are available",
        ),
        (
            "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least "
            "8.0. Your Tesla T4 GPU has compute capability 7.5.",
            "dtype-unsupported",
            "bfloat16 requires compute capability 8.0, and Tesla T4 has 7.5",
        ),
        (
            "torch.AcceleratorError: CUDA error: an illegal memory access was encountered",
            "device-code",
            "a kernel failed on the device: an illegal memory access",
        ),
        (
            "RuntimeError: CUDA error: uncorrectable ECC error",
            "device-hardware",
            "hardware failure",
        ),
        (
            "ModuleNotFoundError: No module named 'vllm._C'",
            "kernel-missing",
            "vLLM was built without its module _C",
        ),
        (
            "ValueError: No valid attention backend from priority list",
            "attention-unsupported",
            "no attention backend supports",
        ),
        (
            "torch.distributed.DistBackendError: NCCL error in: x.cpp:1, unhandled system error",
            "collective-failed",
            "communication between the engine's processes failed",
        ),
    ],
)
def test_a_message_about_a_device_problem_states_its_cause(
    text: str, kind: str, cause: str
) -> None:
    found, explained = explain(FAILURES, text)
    assert found == kind
    assert cause in explained
