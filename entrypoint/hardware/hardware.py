"""What the engine will run on, as one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["cuda", "rocm", "hpu", "openvino", "cpu"]


@dataclass(frozen=True, slots=True)
class Hardware:
    """What the engine will run on.

    Attributes:
        kind: The accelerator.
        count: Devices of that kind; for the CPU its NUMA nodes.
        memory_bytes: Memory that can be used now: the smaller of the machine's available memory
            and what the cgroup leaves. None for devices, whose driver is not asked.
        cpus: The logical processors that this process may run on.
        vllm_version: The installed vLLM, None without one.
    """

    kind: Kind
    count: int
    memory_bytes: int | None
    cpus: tuple[int, ...]
    vllm_version: str | None
