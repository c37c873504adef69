"""Failures of memory: messages of vLLM and PyTorch, and the causes they lead to."""

import pytest

from entrypoint.diagnosis.catalogue import FAILURES as ALL
from entrypoint.diagnosis.catalogue.memory import FAILURES, LAST
from tests.support.failure_logs import explain


@pytest.mark.parametrize(
    ("text", "kind", "cause"),
    [
        (
            "ValueError: The model's max seq len (8192) is larger than the maximum number of "
            "tokens that can be stored in KV cache (4096).",
            "context-longer-than-cache",
            "the context is 8192 tokens long, and the KV cache holds 4096",
        ),
        (
            "ValueError: No available memory for the cache blocks.",
            "no-memory-for-cache",
            "no memory was left for the KV cache",
        ),
        (
            "ValueError: Free memory on device (16.61/23.68 GiB) on startup is less than desired "
            "GPU memory utilization (0.8, 18.95 GiB).",
            "device-memory-taken",
            "the device has 16.61 GiB of 23.68 GiB of memory free, and vLLM requires 18.95 GiB",
        ),
        (
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a "
            "total capacity of 23.68 GiB of which 1.00 GiB is free.",
            "device-out-of-memory",
            "device 0 ran out of memory: it has 1.00 GiB of 23.68 GiB free",
        ),
        (
            "RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried to allocate "
            "4096 bytes.",
            "host-out-of-memory",
            "could not allocate 4096 bytes of main memory",
        ),
    ],
)
def test_a_message_about_a_memory_problem_states_its_cause(
    text: str, kind: str, cause: str
) -> None:
    found, explained = explain((*FAILURES, *LAST), text)
    assert found == kind
    assert cause in explained


def test_main_memory_counts_after_what_needed_it() -> None:
    """A compiler that ran out of memory is a failure of the compiler."""
    kinds = [failure.kind for failure in ALL]
    assert kinds.index("compile-failed") < kinds.index("host-out-of-memory")
